# SPDX-License-Identifier: Apache-2.0

import dataclasses
import errno
import os
from unittest import mock

from ebackup_service.engine import control
from ebackup_service.proxy import backup
from ebackup_service.proxy import check
from ebackup_service.proxy import errors
from ebackup_service.proxy import live
from ebackup_service.proxy import restore
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import layout
from ebackup_service.repository import sample
from ebackup_service.server import images
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK


class TestCheck(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        self.path = self.fixture.write_volume(os.urandom(8 * CHUNK))
        self.volume_id = catalog_fixture.new_id()

    def backup(self):
        return self.fixture.backup(self.path, volume_id=self.volume_id)

    def task(self, fraction):
        job = repositories.check(self.catalog, 'default', fraction)
        return self.fixture.task(self.fixture.spec(job.id))

    def check(self, fraction=0.0):
        task = self.task(fraction)
        result = check.run(task)
        self.fixture.finish(task.spec, result=result)
        return result

    def damage(self, image):
        image = images.show(self.catalog, image.id)
        total = sum(length for _, length in image.damage)
        self.assertEqual(total, image.damaged_bytes)
        return image.damage

    def test_sound_repository(self):
        image = self.backup()
        task = self.task(1.0)
        result = check.run(task)
        shown = task.snapshot()
        self.assertEqual(99, shown['percent'])
        self.assertLess(8 * CHUNK, shown['bytes_done'])
        self.assertLess(0.9, shown['bytes_done'] / shown['bytes_total'])
        self.assertEqual((1, 0), (result['images'], result['damaged']))
        self.assertEqual([], result['problems'])
        self.assertLess(8 * CHUNK, result['bytes_read'])
        self.assertEqual([], self.damage(image))

    def seen(self, task):
        """What is shown while the images are walked."""
        shown = []

        def look():
            shown.append(task.snapshot())

        with mock.patch.object(task.control, 'check', look):
            check.run(task)
        return [*shown, task.snapshot()]

    def test_progress_without_data(self):
        for _ in range(3):
            self.volume_id = catalog_fixture.new_id()
            self.backup()
        shown = [s for s in self.seen(self.task(0.0)) if s]
        pages = sum(
            info.size
            for info in self.fixture.open_repository().storage.list('packs/')
            if '/p-' in info.key
        )
        self.assertEqual({pages}, {s['bytes_total'] for s in shown})
        done = [s['bytes_done'] for s in shown]
        self.assertEqual(sorted(done), done)
        self.assertEqual(0, done[0])
        self.assertLess(2, len({*done}))
        self.assertLess(50, shown[-1]['percent'])
        self.assertLess(0, shown[-1]['rate'])
        self.assertIsNotNone(shown[-1]['remaining'])
        self.assertEqual(done[-1], shown[-1]['bytes_read'])

    def test_damaged_data_is_found_when_it_is_read(self):
        image = self.backup()
        self.fixture.flip(3)
        self.assertEqual(0, self.check()['damaged'])
        result = self.check(1.0)
        self.assertEqual(1, result['damaged'])
        self.assertEqual(1, len(result['problems']))
        self.assertEqual([image.id], result['damaged_images'])
        [chunk] = result['damaged_chunks']
        self.assertEqual(
            [{'image_id': image.id, 'offsets': [3 * CHUNK]}], chunk['images']
        )
        self.assertEqual([[3 * CHUNK, CHUNK]], self.damage(image))

    def test_next_backup_takes_from_the_volume_what_both_images_lost(self):
        both = [self.backup(), self.backup()]
        self.fixture.flip(3)
        self.fixture.flip(4)
        self.check(1.0)
        lost = [[3 * CHUNK, 2 * CHUNK]]
        self.assertEqual([lost] * 2, [self.damage(image) for image in both])
        third = self.backup()
        self.assertEqual('incremental', third.kind)
        # What it has stored again is put back where the others need it.
        result = self.check()
        self.assertEqual(2, result['repaired_chunks'])
        self.assertEqual((0, []), (result['damaged'], result['problems']))
        for image in *both, third:
            self.assertEqual([], self.damage(image))
        self.assertEqual(0, self.check(1.0)['repaired_chunks'])
        for number, image in enumerate([*both, third]):
            target = self.fixture.write_volume(b'', f'target{number}')
            restore.run(self.fixture.restore_task(image, target))
            with open(self.path, 'rb') as old, open(target, 'rb') as new:
                self.assertEqual(old.read(), new.read())

    def test_pack_that_is_gone(self):
        both = [self.backup(), self.backup()]
        self.remove_data()
        self.assertNotEqual(0, self.check()['damaged'])
        for image in both:
            self.assertEqual([[0, 8 * CHUNK]], self.damage(image))
        third = self.backup()
        self.assertEqual('incremental', third.kind)

        result = self.check()

        self.assertEqual(
            (8, 1), (result['repaired_chunks'], result['repaired_packs'])
        )
        self.assertEqual((0, []), (result['damaged'], result['problems']))
        for number, image in enumerate([*both, third]):
            self.assertEqual([], self.damage(image))
            target = self.fixture.write_volume(b'', f'target{number}')
            restore.run(self.fixture.restore_task(image, target))
            with open(self.path, 'rb') as old, open(target, 'rb') as new:
                self.assertEqual(old.read(), new.read())
        self.assertEqual(0, self.check(1.0)['repaired_packs'])

    def remove_data(self):
        """All data packs; the sessions that wrote them."""
        repo = self.fixture.open_repository()
        keys = {
            layout.pack_key(pack)
            for pack, _ in sample.Sample().packs(repo.storage, lambda: None)
        }
        for key in keys:
            repo.storage.delete(key)
        return {layout.parse_session(key) for key in keys}

    def test_pack_that_is_gone_of_a_session_that_runs(self):
        self.backup()
        sessions = self.remove_data()
        self.check()
        self.backup()
        asked = live.ask

        def running(task, image_ids):
            return dataclasses.replace(
                asked(task, image_ids), sessions=sessions
            )

        with mock.patch.object(live, 'ask', running):
            self.assertEqual(0, self.check()['repaired_packs'])

        self.assertEqual(1, self.check()['repaired_packs'])

    def test_what_the_volume_has_no_longer_stays_damaged(self):
        image = self.backup()
        self.fixture.flip(3)
        self.fixture.flip(4)
        self.check(1.0)
        with open(self.path, 'r+b') as file:
            file.seek(4 * CHUNK)
            file.write(os.urandom(CHUNK))
        self.backup()
        result = self.check()
        self.assertEqual(0, result['repaired_chunks'])
        self.assertEqual([[3 * CHUNK, 2 * CHUNK]], self.damage(image))

    def test_repository_that_is_taken_while_it_is_repaired(self):
        self.backup()
        self.fixture.flip(3)
        self.check(1.0)
        self.backup()
        task = self.task(0.0)
        taken = mock.patch.object(
            check.repositories,
            'check_owner',
            side_effect=[None, repository_errors.ForeignOwner('another')],
        )
        with taken:
            self.assertRaises(repository_errors.ForeignOwner, check.run, task)

    def test_what_is_well_again_is_no_longer_damaged(self):
        image = self.backup()
        self.fixture.flip(3)
        self.check(1.0)
        # It is known, so it is looked at again by each check.
        result = self.check()
        self.assertEqual([[3 * CHUNK, CHUNK]], self.damage(image))
        self.assertEqual(1, result['damaged'])
        self.fixture.flip(3)
        result = self.check()
        self.assertEqual([], self.damage(image))
        self.assertEqual(0, result['damaged'])

    def test_samples_add_up_to_the_whole(self):
        image = self.backup()
        self.fixture.flip(3)
        for _ in range(4):
            self.check(0.25)
        self.assertEqual([[3 * CHUNK, CHUNK]], self.damage(image))
        found = repositories.show(self.catalog, 'default').verification
        self.assertIsNotNone(found['complete'])

    def test_new_image_inherits_from_a_base_that_was_deleted(self):
        first = self.backup()
        task = self.fixture.backup_task(self.path, volume_id=self.volume_id)
        commit = task.server.commit_image

        def late(*args):
            # Nothing in the repository leads to the base or the new image.
            images.delete(self.catalog, first.id)
            self.fixture.open_repository().delete_image(first.id)
            self.fixture.flip(3)
            self.assertEqual(1, self.check(1.0)['damaged'])
            return commit(*args)

        task.server.commit_image = late
        self.fixture.finish(task.spec, result=backup.run(task))
        second = images.show(self.catalog, task.image.id)
        self.assertEqual('incremental', second.kind)
        self.assertEqual([[3 * CHUNK, CHUNK]], self.damage(second))

    def test_check_that_is_cancelled(self):
        self.backup()
        task = self.task(1.0)
        task.control.cancel('enough')
        self.assertRaises(control.JobStopped, check.run, task)

    def test_check_that_was_given_up_tells_nothing(self):
        image = self.backup()
        self.fixture.flip(3)
        task = self.task(1.0)
        take = task.server.take_damage

        def given_up(*args):
            self.fixture.finish(task.spec, 'failed')
            return take(*args)

        task.server.take_damage = given_up
        self.assertRaises(errors.Fenced, check.run, task)
        self.assertEqual([], self.damage(image))
        task = self.task(0.0)
        self.fixture.finish(task.spec, 'failed')
        self.assertRaises(errors.Fenced, check.run, task)


class TestCheckOfBadSector(base.BaseTestCase):
    """The fourth of eight chunks lies where nothing can be read any more."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.faulty = faulty_fixture.FaultyDirectory()
        cls.faulty.setUp()
        cls.addClassCleanup(cls.faulty.cleanUp)

    def setUp(self):
        super().setUp()
        self.volume_id = catalog_fixture.new_id()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog = self.fixture.catalog
        self.addCleanup(self.faulty.mend)
        self.fixture.url = f'file://{self.faulty.path}/{self.volume_id}'
        self.fixture.create_repository()
        self.content = os.urandom(8 * CHUNK)
        self.path = self.fixture.write_volume(self.content)
        self.image = self.backup()
        self.lost = [[3 * CHUNK, CHUNK]]

    def backup(self):
        return self.fixture.backup(self.path, volume_id=self.volume_id)

    def damage(self, image):
        return images.show(self.catalog, image.id).damage

    def break_sector(self):
        [pack] = [
            info.key
            for info in self.fixture.open_repository().storage.list('packs/')
            if '/d-' in info.key
        ]
        sector = (128 + 3 * (64 + CHUNK) + 8192) // 4096 * 4096
        self.faulty.fail('read', errno.EIO, pack, bad=sector)

    def check(self):
        job = repositories.check(self.catalog, 'default', 1.0)
        spec = self.fixture.spec(job.id)
        try:
            result = check.run(self.fixture.task(spec))
        except repository_errors.RepositoryError:
            self.fixture.finish(spec, 'failed')
            raise
        self.fixture.finish(spec, result=result)
        return result

    def restored(self, image):
        target = self.fixture.write_volume(b'', 'target')
        task = self.fixture.restore_task(image, target)
        try:
            restore.run(task)
        except errors.ImageDamaged:
            self.fixture.finish(task.spec, 'failed')
            raise
        self.fixture.finish(task.spec, result={})
        with open(target, 'rb') as file:
            return file.read()

    def test_check_tells_the_image_and_the_place(self):
        self.break_sector()

        result = self.check()

        self.assertEqual([self.image.id], result['damaged_images'])
        self.assertIn(os.strerror(errno.EIO), result['problems'][0])
        self.assertEqual(self.lost, self.damage(self.image))
        found = repositories.show(self.catalog, 'default').verification
        self.assertIsNotNone(found['complete'])
        self.faulty.mend()
        self.assertEqual(0, self.check()['damaged'])
        self.assertEqual([], self.damage(self.image))

    def test_restore_tells_the_place_or_restores_the_rest(self):
        self.break_sector()

        error = self.assertRaises(
            errors.ImageDamaged, self.restored, self.image
        )
        self.assertIn(f'{CHUNK} at {3 * CHUNK}', str(error))
        self.assertEqual(self.lost, self.damage(self.image))
        images.update(self.catalog, self.image.id, restore_damaged=True)
        expected = bytearray(self.content)
        expected[3 * CHUNK : 4 * CHUNK] = bytes(CHUNK)
        self.assertEqual(expected, self.restored(self.image))

    def test_next_backup_stores_it_again(self):
        self.break_sector()
        self.check()

        second = self.backup()

        self.assertEqual('incremental', second.kind)
        self.assertEqual(self.content, self.restored(second))
        result = self.check()
        self.assertEqual(
            (1, 0), (result['repaired_chunks'], result['damaged'])
        )
        for image in self.image, second:
            self.assertEqual([], self.damage(image))
            self.assertEqual(self.content, self.restored(image))

    def test_storage_that_is_away_is_not_damaged(self):
        for number in (errno.EIO, errno.ESTALE):
            self.faulty.fail('read', number, after=6)
            self.assertRaises(repository_errors.StorageUnavailable, self.check)
            self.faulty.mend()
            self.assertEqual([], self.damage(self.image))

    def spoil(self, path, call='readdir'):
        self.faulty.fail(call, errno.EIO, f'/{path}$')

    def damaged_images(self, problem):
        result = self.check()
        self.assertIn(problem, ' '.join(result['problems']))
        return result['damaged_images']

    def test_packs_that_can_not_be_listed_are_read_if_they_were_damaged(self):
        self.break_sector()
        self.check()
        self.spoil('packs')

        self.assertEqual([self.image.id], self.damaged_images(' packs:'))
        self.assertEqual(self.lost, self.damage(self.image))
        self.faulty.mend()
        self.assertEqual(0, self.check()['damaged'])
        self.assertEqual([], self.damage(self.image))

    def test_image_that_can_not_be_listed_is_checked(self):
        for call in ('readdir', 'getattr'):
            for path in ('images', f'images/{self.image.id}'):
                self.spoil(path, call)
                problem = f'Image {self.image.id} is available by the catalog'
                self.assertEqual([], self.damaged_images(problem))
                self.break_sector()
                self.assertEqual([self.image.id], self.damaged_images(problem))
                self.assertEqual(self.lost, self.damage(self.image))
                # Who knows where to look for it?
                self.faulty.mend()
                self.spoil(path, call)
                self.damaged_images(problem)
                self.assertEqual(self.lost, self.damage(self.image))
                self.faulty.mend()
                self.assertEqual([], self.check()['problems'])
                self.assertEqual([], self.damage(self.image))

    def test_whatever_can_not_be_listed_is_told(self):
        for path in ('packs', 'images', 'tombstones', 'compacted'):
            os.makedirs(
                f'{self.faulty.backing}/{self.volume_id}/{path}', exist_ok=True
            )
            for call in ('readdir', 'getattr'):
                self.spoil(path, call)
                result = self.check()
                self.assertLess(0, result['damaged'])
                self.assertIn(f' {path}:', ' '.join(result['problems']))
                self.assertEqual(
                    call == 'getattr' and path == 'packs',
                    bool(self.damage(self.image)),
                )
                self.faulty.mend()
                self.assertEqual([], self.check()['problems'])
                self.assertEqual([], self.damage(self.image))
