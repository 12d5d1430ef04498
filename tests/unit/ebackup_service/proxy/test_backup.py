# SPDX-License-Identifier: Apache-2.0

import os
import time

from oslotest import base

from ebackup_service.engine import control
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.proxy import failures
from ebackup_service.repository import errors as repository_errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK
MIB = 2**20


class BackupTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        self.volume_id = catalog_fixture.new_id()

    def task(self, content, **values):
        path = self.fixture.write_volume(content)
        return self.fixture.backup_task(
            path, volume_id=self.volume_id, **values
        )

    def image(self, task):
        return self.fixture.image(task.image.id)


class TestRun(BackupTestCase):
    def test_image_lies_in_the_repository_with_all_that_was_said(self):
        task = self.task(
            os.urandom(3 * CHUNK),
            record={'display_name': 'x'},
            volume_metadata='{"v": 1}',
        )
        result = backup.run(task)
        repo = self.fixture.open_repository()
        self.assertTrue(repo.is_marked(task.image.id))
        root = repo.root(task.image.id)
        self.assertEqual(3 * CHUNK, root.size)
        self.assertEqual({'display_name': 'x'}, root.record)
        self.assertEqual('{"v": 1}', root.volume_metadata)
        self.assertEqual(self.volume_id, root.chain.volume_id)
        self.assertEqual(task.spec.id, root.session_id)
        self.assertEqual('full', result['kind'])
        self.assertEqual(3 * CHUNK, result['bytes_read'])
        self.assertEqual(3, result['chunks_stored'])
        self.assertIn('free', result['usage'])

    def test_catalog_has_the_same_tree(self):
        task = self.task(os.urandom(CHUNK))
        backup.run(task)
        root = self.fixture.open_repository().root(task.image.id)
        self.assertEqual(root.tree.to_json(), self.image(task).root['tree'])

    def test_second_one_stores_what_changed(self):
        content = bytearray(os.urandom(8 * CHUNK))
        first = self.task(content)
        self.fixture.finish(first.spec, result=backup.run(first))
        content[0] ^= 1
        second = self.task(content)
        result = backup.run(second)
        self.assertEqual('incremental', result['kind'])
        self.assertEqual(1, result['chunks_stored'])
        root = self.fixture.open_repository().root(second.image.id)
        self.assertEqual(first.image.id, root.base_image)

    def test_progress_reaches_the_end(self):
        task = self.task(os.urandom(CHUNK))
        backup.run(task)
        self.assertEqual(100, task.snapshot()['percent'])

    def test_volume_of_zeros(self):
        task = self.task(bytes(5 * CHUNK))
        result = backup.run(task)
        self.assertEqual(0, result['bytes_stored'])
        self.assertIsNone(self.image(task).root['tree'])

    def test_speed_is_limited(self):
        self.fixture.conf.set_override(
            'max_bytes_per_second', 8 * MIB, 'proxy'
        )
        task = self.task(os.urandom(8 * MIB))
        began = time.monotonic()
        backup.run(task)
        # what is read at a time is at most 4 MiB, and the first is free
        self.assertGreater(time.monotonic() - began, 0.4)


class TestRefusal(BackupTestCase):
    def refused(self, error, task):
        self.assertRaises(error, backup.run, task)
        self.assertEqual(set(), self.fixture.objects())
        self.assertNotEqual('available', self.image(task).state)

    def test_less_is_free_than_the_floor(self):
        self.fixture.conf.set_override('minimum_free', 2**62, 'repository')
        self.refused(errors.RepositoryFull, self.task(b'x'))

    def test_volume_has_another_size(self):
        task = self.task(b'xx')
        self.fixture.write_volume(b'x')
        self.refused(production_errors.SizeMismatch, task)

    def test_cancelled_before_the_commit(self):
        task = self.task(os.urandom(CHUNK))
        jobs.cancel(self.catalog, task.spec.id)
        self.refused(errors.Fenced, task)

    def test_lease_over_before_the_commit(self):
        task = self.task(os.urandom(CHUNK))
        self.fixture.age(task.spec.id, 15)
        self.refused(errors.Fenced, task)

    def test_image_deleted_before_the_commit(self):
        task = self.task(os.urandom(CHUNK))
        images.delete(self.catalog, task.image.id)
        self.refused(errors.Fenced, task)

    def test_repository_taken_over_during_the_backup(self):
        task = self.task(os.urandom(CHUNK))
        repo = self.fixture.open_repository()
        task.control.check = lambda: repo.claim('another', 1, take_over=True)
        self.refused(repository_errors.ForeignOwner, task)

    def test_stopped_in_the_middle(self):
        task = self.task(os.urandom(CHUNK))
        task.control.cancel('Not today.')
        self.refused(control.JobStopped, task)

    def test_server_away_at_the_commit_until_the_lease_ends(self):
        task = self.task(os.urandom(CHUNK))
        self.fixture.bus.break_down()
        task.control.extend(time.monotonic() + 1.0)
        self.refused(control.LeaseLost, task)


class TestStorage(base.BaseTestCase):
    """On a file system of its own."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.mount = self.fixture.mount(4 * MIB)
        self.fixture.create_repository()

    def refused(self, kind):
        path = self.fixture.write_volume(os.urandom(8 * MIB))
        task = self.fixture.backup_task(path)
        try:
            backup.run(task)
        except Exception as error:
            found = failures.describe(task.spec, error)
            self.assertEqual(kind, found.kind)
        else:
            self.fail('not refused')

    def test_full(self):
        self.refused('repository-full')
        self.assertEqual(set(), self.fixture.objects())

    def test_full_repository_takes_what_fits_afterwards(self):
        self.refused('repository-full')
        path = self.fixture.write_volume(os.urandom(MIB))
        self.assertEqual('available', self.fixture.backup(path).state)

    def test_read_only(self):
        self.mount.remount('ro')
        self.refused('repository-read-only')

    def test_gone(self):
        self.mount.unmount()
        self.refused('repository-missing')
