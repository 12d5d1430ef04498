# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os

import fixtures

from ebackup_service.engine import control
from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server import images
from ebackup_service.server import storages
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.proxy import volumes_case

CHUNK = volumes_case.CHUNK
SIZE = volumes_case.SIZE


class LyingLun(folder.FolderLun):
    """Does not tell of what changed in its second half."""

    def open_source(self, size, snapshot=None, since=None):
        source = super().open_source(size, snapshot, since)
        told = source._list_extents
        source._list_extents = lambda: (
            extent for extent in told() if extent.offset < size // 2
        )
        return source


class TestBackup(volumes_case.VolumesTestCase):
    def test_first_one_reads_what_is_allocated(self):
        image, result = self.back_up()
        self.assertEqual('full', result['kind'])
        self.assertEqual(20 * CHUNK, result['bytes_read'])
        self.assertNotIn('changes', result)
        self.assertEqual(self.content(), self.restored(image))
        self.assertEqual(1, len(self.known(state='anchor')))
        self.tidy()

    def test_next_one_reads_what_has_changed(self):
        first, _ = self.back_up()
        before = self.content()
        for chunk in (0, 7, 8, 30):
            self.change(chunk)
        second, result = self.back_up()
        self.assertEqual('named', result['changes'])
        self.assertEqual('incremental', result['kind'])
        self.assertEqual(4 * CHUNK, result['bytes_read'])
        self.assertEqual(4, result['chunks_stored'])
        self.assertEqual(before, self.restored(first))
        self.assertEqual(self.content(), self.restored(second))
        self.assertEqual(2, len(self.on_storage()))
        self.tidy()

    def test_snapshot_is_read_and_not_the_volume(self):
        task = self.task(in_use=True)
        before = self.content()
        take = folder.FolderLun.take_snapshot

        def taken(lun, name):
            snapshot = take(lun, name)
            self.write(0, self.random.randbytes(SIZE))
            return snapshot

        self.patch(folder.FolderLun, 'take_snapshot', taken)
        self.fixture.finish(task.spec, result=backup.run(task))
        image = images.show(self.catalog, task.image.id)
        self.assertEqual(before, self.restored(image))

    def test_volume_that_has_grown(self):
        self.back_up()
        os.truncate(self.path, SIZE + 3 * CHUNK)
        self.write(SIZE + CHUNK, self.random.randbytes(CHUNK))
        image, result = self.back_up()
        self.assertEqual('named', result['changes'])
        self.assertLessEqual(result['bytes_read'], 3 * CHUNK)
        self.assertEqual(self.content(), self.restored(image))

    def assert_compared(self, result, reason):
        self.assertEqual('compared', result['changes'])
        self.assertIn(reason, result['changes_reason'])
        self.assertEqual('incremental', result['kind'])
        self.assertEqual(1, result['chunks_stored'])
        self.assertEqual(20 * CHUNK, result['bytes_read'])

    def test_anchor_that_is_gone(self):
        self.back_up()
        lun = self.lun()
        for number, name in lun.snapshots().items():
            lun.drop_snapshot(production.Snapshot(number, name))
        self.change(3)
        image, result = self.back_up()
        self.assert_compared(result, 'is gone')
        self.assertEqual(self.content(), self.restored(image))
        self.tidy()

    def test_volume_that_was_replaced(self):
        self.back_up()
        content = self.content()
        self.storage.make('volume', SIZE)
        self.write(0, content[: 20 * CHUNK])
        self.change(3)
        image, result = self.back_up()
        self.assert_compared(result, 'replaced, retyped or migrated')
        self.assertEqual(self.content(), self.restored(image))
        self.tidy()

    def test_image_of_the_anchor_was_deleted(self):
        self.back_up()
        self.change(1)
        second, _ = self.back_up()
        self.change(1)
        images.delete(self.catalog, second.id)
        _, result = self.back_up()
        self.assert_compared(result, 'no snapshot of the last image')

    def test_storage_that_was_deleted_by_force(self):
        self.back_up()
        left = self.on_storage()
        storage, _ = storages.delete(self.catalog, 'one', force=True)
        storages.create(
            *(self.catalog, self.conf, 'one', storage.kind),
            backends=storage.backends,
            settings=storage.settings,
        )
        self.change(3)
        image, result = self.back_up()
        self.assert_compared(result, 'no snapshot of the last image')
        self.assertEqual(self.content(), self.restored(image))
        # Nobody removes what is not known any more.
        self.release()
        self.assertEqual(
            sorted(left + self.known(state='anchor')), self.on_storage()
        )

    def test_storage_that_says_impossible_things(self):
        extent = production.Extent
        data = production.ExtentKind.DATA
        truth = folder.FolderSource._list_all
        for wrong in (
            [extent(CHUNK, CHUNK, data), extent(0, CHUNK, data)],
            [extent(SIZE, CHUNK, data)],
            production_errors.DifferenceUnavailable('the bitmap is broken'),
        ):
            self.back_up()
            self.change(3)

            def named(source, wrong=wrong):
                if source.gaps is not production.ExtentKind.UNCHANGED:
                    yield from truth(source)
                elif isinstance(wrong, Exception):
                    yield extent(0, CHUNK, data)
                    raise wrong
                else:
                    yield from wrong

            task = self.task()
            with fixtures.MonkeyPatch(
                f'{__name__}.folder.FolderSource._list_all', named
            ):
                result = backup.run(task)
            self.fixture.finish(task.spec, result=result)
            self.assertEqual('compared', result['changes'])
            # No later run goes on from what the storage was believed.
            self.assertEqual(
                {'tree': None, 'leaf': 0, 'total': {}},
                self.fixture.job(task.spec.id).checkpoint,
            )
            image = images.show(self.catalog, task.image.id)
            self.assertEqual(self.content(), self.restored(image))
            self.tidy()

    def test_size_is_another_one(self):
        task = self.task()
        os.truncate(self.path, SIZE + CHUNK)
        self.assertRaises(production_errors.SizeMismatch, backup.run, task)
        self.fixture.finish(task.spec, 'failed')
        self.tidy()

    def test_storage_that_keeps_no_anchors(self):
        storages.update(self.catalog, self.conf, 'one', anchors=False)
        self.back_up()
        self.tidy()
        self.assertEqual([], self.on_storage())
        self.change(3)
        _, result = self.back_up()
        self.assert_compared(result, 'no snapshot of the last image')

    def test_snapshot_costs_no_more_than_an_anchor(self):
        reduced = []
        self.patch(
            folder.FolderLun,
            'reduce_to_anchor',
            lambda lun, snapshot: reduced.append(snapshot.name),
        )
        self.back_up()
        self.assertEqual(self.known(state='anchor'), reduced)

    def test_snapshot_that_costs_no_less_as_anchor_is_left_alone(self):
        reduced = []
        self.patch(
            folder.FolderLun,
            'reduce_to_anchor',
            lambda lun, snapshot: reduced.append(snapshot.name),
        )
        storage = folder.FolderStorage
        able = dataclasses.replace(storage.capabilities, light_anchors=False)
        self.patch(storage, 'capabilities', able)
        self.back_up()
        self.assertEqual(1, len(self.known(state='anchor')))
        self.assertEqual([], reduced)

    def test_what_can_not_be_reduced_is_no_failure_and_no_anchor(self):
        for error in (
            production_errors.SnapshotBusy('it is read'),
            control.JobStopped('enough'),
        ):

            def fail(lun, snapshot, error=error):
                raise error

            with fixtures.MonkeyPatch(
                f'{__name__}.folder.FolderLun.reduce_to_anchor', fail
            ):
                image, _ = self.back_up()
            self.assertEqual('available', image.state)
            self.assertEqual([], self.known(state='anchor'))
            self.tidy()
            self.assertEqual([], self.on_storage())
        self.change(3)
        _, result = self.back_up()
        self.assert_compared(result, 'no snapshot of the last image')


class TestCinderSnapshot(volumes_case.VolumesTestCase):
    def named(self, name):
        """What the driver says of a snapshot of Cinder's."""
        return {
            'id': catalog_fixture.new_id(),
            'name': name,
            'size': os.path.getsize(self.path),
        }

    def cinder_snapshot(self, name):
        self.lun().take_snapshot(name)
        return self.named(name)

    def test_newer_than_the_anchor(self):
        self.back_up()
        anchors = self.known(state='anchor')
        self.change(3)
        content = self.content()
        snapshot = self.cinder_snapshot('snapshot-1')
        self.change(4)
        image, result = self.back_up(snapshot=snapshot)
        self.assertEqual('named', result['changes'])
        self.assertEqual(CHUNK, result['bytes_read'])
        self.assertEqual(content, self.restored(image))
        self.assertEqual(anchors, self.known())
        # The next one is the difference to the same anchor.
        image, result = self.back_up()
        self.assertEqual(2 * CHUNK, result['bytes_read'])
        self.assertEqual(self.content(), self.restored(image))

    def test_older_than_the_anchor(self):
        content = self.content()
        snapshot = self.cinder_snapshot('snapshot-1')
        self.change(3)
        self.back_up()
        image, result = self.back_up(snapshot=snapshot)
        self.assertEqual('compared', result['changes'])
        self.assertEqual(1, result['chunks_stored'])
        self.assertEqual(content, self.restored(image))

    def test_older_one_that_the_storage_does_not_know(self):
        """It is attached; the next difference is to the anchor's image."""
        can = folder.FolderStorage.capabilities
        self.patch(
            *(folder.FolderStorage, 'capabilities'),
            dataclasses.replace(can, cinder_snapshots=False),
        )
        content, snapshot = self.content(), self.named('snapshot-1')
        self.change(3)
        self.back_up()
        anchors = self.known(state='anchor')
        _, job = self.fixture.reserve(
            size=SIZE,
            volume_id=self.volume_id,
            snapshot_id=snapshot['id'],
            volume={**folder.volume('volume'), 'snapshot': snapshot},
        )
        path = self.fixture.write_volume(content, 'snapshot')
        self.fixture.attach(job.id, path)
        task = self.again(job.id)
        self.fixture.finish(task.spec, result=backup.run(task))
        image = images.show(self.catalog, task.image.id)
        self.assertEqual(content, self.restored(image))
        self.assertEqual(anchors, self.known())
        self.change(4)
        image, result = self.back_up()
        self.assertEqual('named', result['changes'])
        self.assertEqual(CHUNK, result['bytes_read'])
        self.assertEqual(self.content(), self.restored(image))

    def test_volume_has_grown_since(self):
        content = self.content()
        snapshot = self.cinder_snapshot('snapshot-1')
        os.truncate(self.path, 2 * SIZE)
        image, _ = self.back_up(snapshot=snapshot)
        self.assertEqual(content, self.restored(image))

    def test_it_is_gone(self):
        task = self.task(snapshot=self.named('snapshot-1'))
        self.assertRaises(production_errors.SnapshotUnknown, backup.run, task)

    def test_it_is_never_removed(self):
        snapshot = self.cinder_snapshot('snapshot-1')
        self.back_up()
        self.back_up(snapshot=snapshot)
        self.back_up()
        self.release()
        self.assertEqual(
            sorted([*self.known(state='anchor'), 'snapshot-1']),
            self.on_storage(),
        )


class TestInterrupted(volumes_case.VolumesTestCase):
    def interrupt(self, target, name, before):
        """Let a run end before, or after, a call."""
        real = getattr(target, name)

        def call(*args, **kwargs):
            if not before:
                real(*args, **kwargs)
            raise volumes_case.Stopped()

        task = self.task()
        with fixtures.MonkeyPatch(
            f'{target.__module__}.{target.__name__}.{name}', call
        ):
            self.assertRaises(volumes_case.Stopped, backup.run, task)
        return task

    def goes_on(self, task):
        """Another run has the job, and the volume has changed."""
        content = self.content()
        self.change(2)
        self.fixture.finish(task.spec, 'returned')
        task = self.again(task.spec.id)
        self.fixture.finish(task.spec, result=backup.run(task))
        image = images.show(self.catalog, task.image.id)
        return content, self.restored(image)

    def points(self):
        server = type(self.fixture.server)
        return (
            (server, 'plan_snapshot', True),
            (server, 'plan_snapshot', False),
            (folder.FolderLun, 'take_snapshot', True),
            (folder.FolderLun, 'take_snapshot', False),
            (server, 'snapshot_taken', True),
            (server, 'snapshot_taken', False),
            (folder.FolderLun, 'open_source', True),
            (server, 'commit_image', True),
            (server, 'commit_image', False),
            (folder.FolderLun, 'reduce_to_anchor', True),
            (folder.FolderLun, 'reduce_to_anchor', False),
        )

    def test_nothing_is_left_wherever_it_stops(self):
        for point in self.points():
            task = self.interrupt(*point)
            self.fixture.finish(task.spec, 'failed')
            with self.catalog.writer() as session:
                session.execute(
                    snapshot_rows.sa.update(
                        snapshot_rows.models.Snapshot
                    ).values(release_after=0)
                )
            self.tidy()
            self.assertEqual([], self.on_storage())

    def test_it_goes_on_wherever_it_stops(self):
        for number, point in enumerate(self.points()):
            task = self.interrupt(*point)
            before, found = self.goes_on(task)
            # What was taken is read again, what was not is taken later.
            expected = before if number > 4 else self.content()
            if number == 4:
                self.assertIn(found, (before, self.content()))
            else:
                self.assertEqual(expected, found)

    def test_next_run_reduces_what_may_not_have_been(self):
        task = self.interrupt(folder.FolderLun, 'reduce_to_anchor', True)
        self.assertEqual([], self.known(state='anchor'))
        self.goes_on(task)
        self.assertEqual(1, len(self.known(state='anchor')))

    def test_taken_snapshot_is_gone(self):
        task = self.interrupt(folder.FolderLun, 'open_source', True)
        lun = self.lun()
        for number, name in lun.snapshots().items():
            lun.drop_snapshot(production.Snapshot(number, name))
        self.fixture.finish(task.spec, 'returned')
        task = self.again(task.spec.id)
        self.assertRaises(production_errors.SnapshotUnknown, backup.run, task)

    def test_volume_was_replaced(self):
        task = self.interrupt(folder.FolderLun, 'open_source', True)
        self.storage.make('volume', SIZE)
        self.fixture.finish(task.spec, 'returned')
        task = self.again(task.spec.id)
        error = self.assertRaises(
            production_errors.SnapshotUnknown, backup.run, task
        )
        self.assertIn('replaced', str(error))

    def test_whoever_lost_the_job_takes_nothing(self):
        task = self.task()
        self.fixture.finish(task.spec, 'returned')
        self.assertRaises(errors.Fenced, backup.run, task)
        self.assertEqual([], self.on_storage())

    def test_whoever_has_to_stop_takes_nothing(self):
        task = self.task()
        server = self.fixture.server
        plan = server.plan_snapshot

        def planned(*args):
            task.control.cancel('enough')
            return plan(*args)

        self.patch(server, 'plan_snapshot', planned)
        self.assertRaises(control.JobStopped, backup.run, task)
        self.assertEqual([], self.on_storage())


class NoSnapshots(folder.FolderStorage):
    capabilities = production.Capabilities(allocated_extents=True)


class TestWithoutSnapshots(volumes_case.VolumesTestCase):
    storage_class = NoSnapshots

    def test_volume_itself_is_read(self):
        image, result = self.back_up()
        self.assertEqual(20 * CHUNK, result['bytes_read'])
        self.assertEqual([], self.known())
        self.assertEqual(self.content(), self.restored(image))
        self.change(2)
        _, result = self.back_up()
        self.assertNotIn('changes', result)
        self.assertEqual(1, result['chunks_stored'])

    def test_but_not_while_it_is_in_use(self):
        task = self.task(in_use=True)
        error = self.assertRaises(
            production_errors.VolumeInUse, backup.run, task
        )
        self.assertIn(self.volume_id, str(error))


class LyingStorage(folder.FolderStorage):
    def find(self, reference):
        super().find(reference)
        return LyingLun(self.path(reference.name), reference.snapshot)


class TestShadow(volumes_case.VolumesTestCase):
    storage_class = LyingStorage
    values = {'trust': 'shadow'}

    def test_all_is_read_and_lies_are_told(self):
        self.write(30 * CHUNK, b'hidden')
        image, result = self.back_up()
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertEqual([[30 * CHUNK, CHUNK]], result['missed_extents'])
        self.assertEqual(self.content(), self.restored(image))
        self.change(3)
        self.change(25)
        self.write(30 * CHUNK, bytes(CHUNK))
        image, result = self.back_up()
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertEqual(2 * CHUNK, result['missed_bytes'])
        self.assertEqual(
            [[25 * CHUNK, CHUNK], [30 * CHUNK, CHUNK]],
            result['missed_extents'],
        )
        self.assertEqual(self.content(), self.restored(image))

    def test_who_does_not_lie_misses_nothing(self):
        self.back_up()
        self.change(3)
        _, result = self.back_up()
        self.assertEqual(0, result['missed_bytes'])
        self.assertEqual('named', result['changes'])


class TestTrustedLiar(volumes_case.VolumesTestCase):
    storage_class = LyingStorage

    def test_it_is_believed(self):
        """Which is why there is shadow mode."""
        self.back_up()
        self.change(25)
        image, result = self.back_up()
        self.assertEqual(0, result['bytes_read'])
        self.assertNotEqual(self.content(), self.restored(image))
