# SPDX-License-Identifier: Apache-2.0

import errno
import os
from unittest import mock

import fixtures

from ebackup_service.engine import control
from ebackup_service.proxy import backup
from ebackup_service.proxy import check
from ebackup_service.proxy import errors
from ebackup_service.proxy import failures
from ebackup_service.proxy import maintenance
from ebackup_service.proxy import patience
from ebackup_service.proxy import restore
from ebackup_service.repository import collector
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server import collection
from ebackup_service.server import images
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK


class MaintenanceTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog = self.fixture.catalog

    def task(self, job):
        return self.fixture.task(self.fixture.spec(job.id))


class TestCreate(MaintenanceTestCase):
    def create(self):
        _, job = repositories.create(self.catalog, 'default', self.fixture.url)
        return self.task(job)

    def test_repository_is_made_and_claimed(self):
        task = self.create()
        result = maintenance.create(task)
        spec = task.spec.repository
        repo = self.fixture.open_repository()
        self.assertEqual(spec.id, repo.id)
        repo.check_owner(spec.owner.service_id, spec.owner.generation)
        self.assertEqual(0, result['usage']['images'])

    def test_second_try_finds_what_the_first_one_made(self):
        task = self.create()
        maintenance.create(task)
        maintenance.create(task)
        self.assertEqual(
            task.spec.repository.id, self.fixture.open_repository().id
        )

    def test_place_with_other_things_in_it(self):
        os.makedirs(f'{self.fixture.directory}/repository/packs/aa')
        place = f'{self.fixture.directory}/repository/packs/aa/something'
        with open(place, 'w'):
            pass
        self.assertRaises(
            repository_errors.ObjectExists,
            maintenance.create,
            self.create(),
        )

    def refused(self):
        """What is told of a second repository in the same place."""
        _, job = repositories.create(self.catalog, 'second', self.fixture.url)
        error = self.assertRaises(
            repository_errors.RepositoryMismatch,
            maintenance.create,
            self.task(job),
        )
        self.assertIn(self.fixture.open_repository().id, str(error))
        self.assertLess(len(str(error)), 255)
        return str(error)

    def test_place_with_another_repository_of_the_same_service(self):
        self.fixture.create_repository()
        said = self.refused()
        self.assertIn('of this very service', said)
        self.assertNotIn('is gone', said)

    def test_place_with_a_repository_of_another_service(self):
        self.fixture.create_repository()
        other = catalog_fixture.new_id()
        self.fixture.open_repository().take_over(other, 1)
        said = self.refused()
        self.assertIn(other, said)
        # what it takes to take it over
        self.assertIn('If that service is gone', said)
        self.assertIn('takeover', said)

    def test_place_with_a_repository_that_nobody_owns(self):
        self.fixture.create_repository()
        self.fixture.open_repository().storage.delete('owner.json')
        self.assertIn('nobody', self.refused())

    def test_place_that_is_missing_and_can_not_be_made(self):
        with mock.patch(
            'os.mkdir', side_effect=PermissionError(errno.EACCES, 'Denied')
        ):
            error = self.assertRaises(
                repository_errors.NotARepository,
                maintenance.create,
                self.create(),
            )
        self.assertIn('is missing', str(error))


class UpkeepTestCase(MaintenanceTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.create_repository()
        self.path = self.fixture.write_volume(os.urandom(2 * CHUNK))

    def collect(self):
        return self.task(repositories.collect(self.catalog, 'default'))


class TestDelete(UpkeepTestCase):
    def test_image_is_gone_and_stays_gone(self):
        image = self.fixture.backup(self.path)
        task = self.task(images.delete(self.catalog, image.id))
        for _ in range(2):
            maintenance.delete(task)
        repo = self.fixture.open_repository()
        self.assertFalse(repo.is_marked(image.id))
        self.assertTrue(repo.storage.size(f'tombstones/{image.id}'))

    def test_stopped(self):
        image = self.fixture.backup(self.path)
        task = self.task(images.delete(self.catalog, image.id))
        task.control.cancel('Not today.')
        self.assertRaises(control.JobStopped, maintenance.delete, task)
        self.assertTrue(self.fixture.open_repository().is_marked(image.id))


class TestCollect(UpkeepTestCase):
    def delete(self, image):
        task = self.task(images.delete(self.catalog, image.id))
        self.fixture.finish(task.spec, result=maintenance.delete(task))

    def packs(self):
        return {
            name
            for name in self.fixture.objects()
            if name.startswith('packs/')
        }

    def test_packs_of_deleted_images_are_freed(self):
        self.delete(self.fixture.backup(self.path))
        result = maintenance.collect(self.collect())
        self.assertEqual(set(), self.packs())
        self.assertEqual(0, result['usage']['packs'])
        self.assertGreater(result['bytes_removed'], 2 * CHUNK)

    def test_server_that_always_fails_to_say_what_lives_ends_it(self):
        task = self.collect()
        self.useFixture(fixtures.MockPatchObject(patience, '_LEASES', 0))
        self.useFixture(
            fixtures.MockPatchObject(collection, 'live', side_effect=KeyError)
        )
        error = self.assertRaises(
            errors.ServerFailed, maintenance.collect, task
        )
        self.assertIn('live failed: KeyError', str(error))
        outcome = failures.outcome(task.spec, error, None)
        self.assertEqual('failed', outcome.state)

    def test_what_is_in_use_is_kept(self):
        image = self.fixture.backup(self.path)
        before = self.packs()
        maintenance.collect(self.collect())
        self.assertEqual(before, self.packs())
        self.assertTrue(self.fixture.open_repository().is_marked(image.id))

    def test_progress_while_it_runs(self):
        for _ in range(4):
            self.fixture.backup(self.path, volume_id=catalog_fixture.new_id())
        task = self.collect()
        tell = maintenance._Compaction.tell
        shown = []

        def told(compacting, share):
            tell(compacting, share)
            shown.append(task.snapshot()['percent'])

        with mock.patch.object(maintenance._Compaction, 'tell', told):
            maintenance.collect(task)
        self.assertEqual(sorted(shown), shown)
        self.assertLess(shown[0], 10)
        # More than its 13 steps: images and chains are counted, too.
        self.assertLess(16, len({*shown}))
        self.assertEqual(99, task.snapshot()['percent'])

    def sparse_pack(self):
        """Two chunks, of which one is garbage."""
        volume_id = catalog_fixture.new_id()
        first = self.fixture.backup(self.path, volume_id=volume_id)
        with open(self.path, 'r+b') as volume:
            volume.seek(CHUNK)
            volume.write(os.urandom(CHUNK))
        second = self.fixture.backup(self.path, volume_id=volume_id)
        self.delete(first)
        return second

    def compacted(self):
        return [
            name
            for name in self.fixture.objects()
            if name.startswith('compacted/')
        ]

    def test_packs_that_are_mostly_garbage(self):
        self.fixture.conf.set_override('compaction_percent', 60, 'proxy')
        image = self.sparse_pack()
        before = len(self.packs())
        task = self.collect()

        result = maintenance.collect(task)

        self.assertEqual(1, result['packs_compacted'])
        self.assertGreater(result['bytes_compacted'], CHUNK // 2)
        self.assertEqual(1, len(self.compacted()))
        self.assertLess(len(self.packs()), before)
        self.assertGreater(task.snapshot()['bytes_read'], CHUNK)
        target = self.fixture.write_volume(b'', 'target')
        restore.run(self.fixture.restore_task(image, target))
        with open(self.path, 'rb') as volume, open(target, 'rb') as copy:
            self.assertEqual(volume.read(), copy.read())

    def test_compaction_is_an_option(self):
        for percent, size in ((0, 1 << 30), (60, CHUNK // 2)):
            self.fixture.conf.set_override(
                'compaction_percent', percent, 'proxy'
            )
            self.fixture.conf.set_override('compaction_size', size, 'proxy')
            self.sparse_pack()
            task = self.collect()

            result = maintenance.collect(task)

            self.fixture.finish(task.spec)
            self.assertEqual(0, result['packs_compacted'])
            self.assertEqual([], self.compacted())

    def test_compaction_is_throttled(self):
        self.fixture.conf.set_override('compaction_percent', 60, 'proxy')
        self.sparse_pack()
        task = self.collect()
        with mock.patch.object(task.control, 'throttle') as throttle:
            maintenance.collect(task)

        throttle.assert_called()

    def test_pack_that_is_damaged_is_named(self):
        self.fixture.conf.set_override('compaction_percent', 60, 'proxy')
        self.sparse_pack()
        result = collector.CollectResult(
            0, 0, 0, compaction_problems=('Damaged chunk in packs/x',)
        )
        with mock.patch.object(collector, 'collect', return_value=result):
            with self.assertLogs(maintenance.__name__, 'WARNING') as logs:
                maintenance.collect(self.collect())

        self.assertIn('packs/x', logs.output[0])

    def test_what_can_not_be_read_is_told(self):
        self.fixture.backup(self.path)
        result = collector.CollectResult(
            0, 0, 0, left_out=('Damaged directory in packs/ab: no',)
        )
        with mock.patch.object(collector, 'collect', return_value=result):
            with self.assertLogs(maintenance.__name__, 'WARNING') as logs:
                found = maintenance.collect(self.collect())

        self.assertIn('packs/ab', logs.output[0])
        self.assertEqual([*result.left_out], found['problems'])

    def test_image_that_is_being_restored_is_kept_until_then(self):
        image = self.fixture.backup(self.path)
        target = self.fixture.write_volume(b'', 'target')
        task = self.fixture.restore_task(image, target)
        self.delete(image)
        before = self.packs()
        gc = self.collect()
        maintenance.collect(gc)
        self.assertEqual(before, self.packs())
        self.fixture.finish(gc.spec)
        self.fixture.finish(task.spec)
        maintenance.collect(self.collect())
        self.assertEqual(set(), self.packs())

    def test_base_of_a_running_backup_is_kept(self):
        volume_id = catalog_fixture.new_id()
        image = self.fixture.backup(self.path, volume_id=volume_id)
        task = self.fixture.backup_task(self.path, volume_id=volume_id)
        find = task.lun

        def late():
            self.delete(image)
            before = self.packs()
            maintenance.collect(self.collect())
            self.assertEqual(before, self.packs())
            return find()

        task.lun = late
        result = backup.run(task)
        self.assertEqual(0, result['chunks_stored'])
        self.fixture.finish(task.spec, result=result)
        target = self.fixture.write_volume(b'', 'target')
        found = images.show(self.catalog, task.image.id)
        again = self.fixture.restore_task(found, target)
        restore.run(again)
        with open(self.path, 'rb') as old, open(target, 'rb') as new:
            self.assertEqual(old.read(), new.read())

    def test_packs_of_a_running_backup_are_kept(self):
        task = self.fixture.backup_task(self.path)
        repo = self.fixture.open_repository()
        session = repo.session(task.spec.id, 1)
        writer = session.writer()
        writer.add(repo.chunk_id(b'x' * 100), memoryview(b'x' * 100))
        writer.flush()
        before = self.packs()
        self.assertEqual(1, len(before))
        gc = self.collect()
        maintenance.collect(gc)
        self.assertEqual(before, self.packs())
        self.fixture.finish(gc.spec)
        self.fixture.finish(task.spec, 'failed')
        maintenance.collect(self.collect())
        self.assertEqual(set(), self.packs())
        writer.abandon()

    def test_image_that_a_fenced_service_deleted_is_kept_if_it_is_known(self):
        image = self.fixture.backup(self.path)
        repo = self.fixture.open_repository()
        tombstone = markers.Tombstone(image.id).to_bytes()
        repo.storage.create(f'tombstones/{image.id}', [tombstone])
        before = self.packs()
        maintenance.collect(self.collect())
        self.assertEqual(before, self.packs())
        target = self.fixture.write_volume(b'', 'target')
        restore.run(self.fixture.restore_task(image, target))
        with open(self.path, 'rb') as old, open(target, 'rb') as new:
            self.assertEqual(old.read(), new.read())

    def test_repository_taken_over_while_it_is_collected(self):
        self.delete(self.fixture.backup(self.path))
        repo = self.fixture.open_repository()
        before = self.packs()
        gc = self.collect()
        live = gc.server.live

        def taken_over(*args):
            repo.take_over('another', 0)
            return live(*args)

        with mock.patch.object(gc.server, 'live', taken_over):
            self.assertRaises(
                repository_errors.ForeignOwner, maintenance.collect, gc
            )
        self.assertEqual(before, self.packs())

    def test_collection_that_was_given_up_removes_nothing(self):
        self.delete(self.fixture.backup(self.path))
        before = self.packs()
        gc = self.collect()
        self.fixture.finish(gc.spec, 'failed')
        self.assertRaises(errors.Fenced, maintenance.collect, gc)
        self.assertEqual(before, self.packs())


class TestOldCopyOfTheCatalog(UpkeepTestCase):
    """It takes an image for available that was deleted, and collected."""

    def setUp(self):
        super().setUp()
        self.volume_id = catalog_fixture.new_id()
        self.image = self.fixture.backup(self.path, volume_id=self.volume_id)
        task = self.task(images.delete(self.catalog, self.image.id))
        self.fixture.finish(task.spec, result=maintenance.delete(task))
        self.assertEqual([], self.run_collection()['lost_images'])
        with self.catalog.writer() as session:
            image_rows.move(
                session,
                self.image.id,
                (image_rows.DELETED,),
                state=image_rows.AVAILABLE,
            )

    def run_collection(self):
        task = self.collect()
        result = maintenance.collect(task)
        self.fixture.finish(task.spec, result=result)
        return {**result, 'lost_images': [*result['lost_images']]}

    def run_check(self):
        task = self.task(repositories.check(self.catalog, 'default'))
        result = check.run(task)
        self.fixture.finish(task.spec, result=result)
        return result

    def test_collection_names_it_and_frees_everything_else(self):
        other = self.fixture.backup(self.path)
        task = self.task(images.delete(self.catalog, other.id))
        self.fixture.finish(task.spec, result=maintenance.delete(task))
        kept = self.fixture.backup(self.path)
        result = self.run_collection()
        self.assertEqual([self.image.id], result['lost_images'])
        self.assertIn(self.image.id, result['problems'][0])
        self.assertIn('ebackup-manage image delete', result['problems'][0])
        self.assertEqual(2, result['packs_removed'])
        self.assertTrue(self.fixture.open_repository().is_marked(kept.id))

    def test_collection_stops_while_a_job_needs_it(self):
        """It may have read what is missing before."""
        task = self.fixture.backup_task(self.path, volume_id=self.volume_id)
        collecting = self.collect()
        error = self.assertRaises(
            repository_errors.Corrupt,
            maintenance.collect,
            collecting,
        )
        self.assertIn(self.image.id, str(error))
        self.fixture.finish(collecting.spec, 'failed')
        self.fixture.finish(task.spec, result=backup.run(task))
        self.assertEqual([self.image.id], self.run_collection()['lost_images'])

    def test_check_names_it(self):
        result = self.run_check()
        self.assertIn('old copy', result['problems'][0])
        self.assertIn(self.image.id, result['problems'][0])
        self.assertEqual([self.image.id], result['damaged_images'])
        image = images.show(self.catalog, self.image.id)
        self.assertEqual(image.size, image.damaged_bytes)

    def test_it_is_no_base(self):
        second = self.fixture.backup(self.path, volume_id=self.volume_id)
        self.assertEqual('full', second.kind)
        target = self.fixture.write_volume(b'', 'target')
        restore.run(self.fixture.restore_task(second, target))
        with open(self.path, 'rb') as old, open(target, 'rb') as new:
            self.assertEqual(old.read(), new.read())

    def test_nothing_is_wrong_when_it_is_deleted(self):
        task = self.task(images.delete(self.catalog, self.image.id))
        self.fixture.finish(task.spec, result=maintenance.delete(task))
        self.assertEqual([], self.run_collection()['lost_images'])
        self.assertEqual([], self.run_check()['problems'])

    def test_what_is_damaged_of_what_is_there_stops_a_collection(self):
        """It may be put back; and the image, too."""
        image = self.fixture.backup(self.path)
        repo = self.fixture.open_repository()
        root = repo.root(image.id)
        repo.delete_image(image.id)
        key = layout.pack_key(root.tree.pack)
        path = f'{self.fixture.directory}/repository/{key}'
        with open(path, 'r+b') as file:
            file.seek(root.tree.offset + 70)
            file.write(b'x' * 8)
        before = self.packs()
        error = self.assertRaises(
            repository_errors.Corrupt, maintenance.collect, self.collect()
        )
        self.assertIn(image.id, str(error))
        self.assertEqual(before, self.packs())

    def packs(self):
        return {n for n in self.fixture.objects() if n.startswith('packs/')}
