# SPDX-License-Identifier: Apache-2.0
import os
import shutil
from unittest import mock

from ebackup_service.repository import config
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import repository
from ebackup_service.repository.storage import nas
from tests.unit.ebackup_service.repository import base

MIB = 1024 * 1024


class CreateTestCase(base.RepositoryTestCase):
    def test_new_repository_opens(self):
        found = repository.Repository.open(self.storage)

        self.assertEqual(self.repo.id, found.id)
        self.assertEqual(
            self.repo.chunk_id(b'plain'), found.chunk_id(b'plain')
        )
        self.assertEqual({'repository.json'}, self.keys())

    def test_id_may_be_given(self):
        self.storage.delete('repository.json')
        wanted = base.new_id()

        made = repository.Repository.create(self.storage, wanted)

        self.assertEqual(wanted, made.id)

    def test_place_must_be_empty(self):
        self.assertRaises(
            errors.ObjectExists, repository.Repository.create, self.storage
        )
        self.storage.delete('repository.json')
        self.storage.create('some/thing', [b'x'])
        error = self.assertRaises(
            errors.ObjectExists, repository.Repository.create, self.storage
        )
        self.assertIn('some/thing', str(error))

    def test_new_file_system_is_empty_enough(self):
        self.storage.delete('repository.json')
        os.mkdir(os.path.join(self.path, 'lost+found'))

        repository.Repository.create(self.storage)


class OpenTestCase(base.RepositoryTestCase):
    def open(self, *args):
        return repository.Repository.open(self.storage, *args)

    def rewrite(self, **changes):
        content = document.read(self.storage, config.KIND, layout.REPOSITORY)
        self.storage.replace(
            layout.REPOSITORY,
            document.seal(config.KIND, {**content, **changes}),
        )

    def test_empty_place_is_told(self):
        self.storage.delete('repository.json')

        self.assertRaises(errors.NotARepository, self.open)

    def test_another_repository_is_told(self):
        self.open(self.repo.id)

        error = self.assertRaises(
            errors.RepositoryMismatch, self.open, base.new_id()
        )
        self.assertIn(self.repo.id, str(error))

    def test_newer_format_is_told(self):
        with mock.patch.object(document, 'VERSION', 2):
            newer = document.seal(config.KIND, {'id': 'looks otherwise'})
        self.storage.replace('repository.json', newer)

        error = self.assertRaises(errors.UnsupportedFormat, self.open)
        self.assertIn('upgrade', str(error))

    def test_unknown_feature_is_told(self):
        self.rewrite(
            features={'read': ['encryption'], 'write': [], 'check': []}
        )

        error = self.assertRaises(errors.UnsupportedFormat, self.open)
        self.assertIn('encryption', str(error))

    def test_unknown_feature_for_writing_only_reads(self):
        image = self.backup(b'some bytes')
        self.rewrite(features={'read': [], 'write': ['moved'], 'check': []})
        self.repo = self.open()

        self.assertEqual(image.data, self.restore(image.id))
        for call in (
            lambda: self.repo.session(base.new_id(), 1),
            lambda: self.repo.claim('service', 1),
            lambda: self.repo.take_over('service', 0),
            lambda: self.repo.delete_image(image.id),
            lambda: self.repo.mark(image.id),
            self.collect,
        ):
            self.assertRaises(errors.UnsupportedFormat, call)

    def test_every_bit_of_repository_json_matters(self):
        for offset in range(0, self.storage.size('repository.json'), 2):
            self.flip('repository.json', offset, offset // 2 % 8)
            self.assertRaises(errors.Corrupt, self.open)
            self.flip('repository.json', offset, offset // 2 % 8)

    def test_directory_that_is_gone_is_told(self):
        shutil.rmtree(self.path)
        self.addCleanup(os.mkdir, self.path)

        self.assertRaises(errors.StorageUnavailable, nas.NasStorage, self.path)
        self.assertRaises(errors.NotARepository, self.open)
        self.assertRaises(
            errors.StorageUnavailable, self.store, os.urandom(5000)
        )


class OwnerTestCase(base.RepositoryTestCase):
    def test_owner_is_checked(self):
        self.repo.claim('one', 1)
        self.repo.check_owner('one', 1)

        self.assertRaises(errors.ForeignOwner, self.repo.claim, 'two', 1)
        self.repo.take_over('two', 0)
        self.assertRaises(errors.ForeignOwner, self.repo.check_owner, 'one', 1)


class ImagesTestCase(base.RepositoryTestCase):
    def test_images_are_found_again(self):
        one = self.backup(b'1' * 10000)
        two = self.store(b'2')
        again = repository.Repository.open(nas.NasStorage(self.path))
        self.addCleanup(again.close)

        self.assertEqual({one.id, two.id}, set(again.images()))
        self.assertEqual(
            [True, False], [again.is_marked(i.id) for i in (one, two)]
        )
        self.assertEqual(one.root, again.root(one.id))
        self.assertEqual(one.data, self.restore(one.id, repo=again))

    def test_service_may_mark_what_a_proxy_left(self):
        image = self.store(b'x')
        self.repo.mark(image.id)
        self.repo.mark(image.id)

        self.assertTrue(self.repo.is_marked(image.id))

    def test_deleted_image_is_gone(self):
        image = self.backup(b'x')
        self.repo.delete_image(image.id)
        self.repo.delete_image(image.id)

        self.assertRaises(errors.ImageMissing, self.repo.root, image.id)
        self.assertFalse(self.repo.is_marked(image.id))

    def test_usage(self):
        first = self.repo.usage()
        self.assertEqual((0, 0), (first.packs, first.images))
        self.assertEqual(self.storage.size('repository.json'), first.used)

        image = self.backup(os.urandom(MIB))
        self.store(b'x')
        usage = self.repo.usage()

        self.assertEqual(2, usage.images)
        self.assertLess(image.session.counters.packs, usage.packs)
        self.assertGreater(usage.used, first.used + MIB)
        self.assertGreater(usage.total, usage.free)
        self.assertRaises(
            ZeroDivisionError, self.repo.usage, None, lambda: 1 // 0
        )
