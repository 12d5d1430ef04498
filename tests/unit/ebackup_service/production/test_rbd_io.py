# SPDX-License-Identifier: Apache-2.0
import contextlib
import json
import threading
import time

from ebackup_service.production import errors
from ebackup_service.production import rbd_extents
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import rbd_case

MIB = rbd_case.MIB
SIZE = 64 * MIB


class Stopped(Exception):
    pass


class IoTestCase(rbd_case.RbdTestCase):
    """Of an image with noise in its first half."""

    def setUp(self):
        super().setUp()
        self.create(SIZE)
        self.noise = conformance.noise(SIZE // 2)
        self.fill(self.noise)

    def pause(self):
        """Let Ceph answer nothing until the test is over."""
        self.addCleanup(self.ceph.continue_osd)
        self.ceph.stop_osd()

    def in_time(self, error, call, *arguments):
        """Let the call fail soon after the time limit."""
        start = time.monotonic()
        raised = self.assertRaises(error, call, *arguments)
        self.assertLess(time.monotonic() - start, 10)
        return raised


class SourceTest(IoTestCase):
    def test_snapshot_removed_while_it_is_read(self):
        """Ceph answers zeros, or what was written since."""
        volume = self.lun()
        snapshot = volume.take_snapshot('one')
        source = self.source(volume, SIZE, snapshot)
        self.assertEqual(self.noise[:MIB], rbd_case.read(source, 0, MIB))
        source.confirm()
        with self.image() as image:
            image.remove_snap('one')
            image.discard(0, SIZE)
        rbd_case.read(source, 0, MIB)
        error = self.assertRaises(errors.SnapshotUnknown, source.confirm)
        self.assertIn('removed, or renamed, by somebody', str(error))
        self.assertRaises(errors.SnapshotUnknown, list, source.extents())

    def test_what_is_read_is_not_kept_by_ceph(self):
        """Its memory is for what others read again."""
        source = self.source(self.lun(), SIZE)

        def hits():
            before = self.kept()
            rbd_case.read(source, 0, MIB)
            return self.kept() - before

        hits()
        self.assertLess(hits(), MIB // 2)
        with self.image() as image:
            image.read(0, MIB)
        self.assertGreaterEqual(hits(), MIB)

    def kept(self):
        """Bytes that Ceph has not read from its disk."""
        return self.ceph.counter('bluestore_buffer_hit_bytes', 'bluestore')

    def test_snapshot_removed_before_what_is_expected_is_read(self):
        volume = self.lun()
        source = self.source(volume, SIZE, volume.take_snapshot('one'))
        source.expect(0, MIB)
        source.expect(MIB, MIB)
        self.assertEqual(self.noise[:MIB], rbd_case.read(source, 0, MIB))
        with self.image() as image:
            image.remove_snap('one')
            image.discard(0, SIZE)
        rbd_case.read(source, MIB, MIB)
        self.assertRaises(errors.SnapshotUnknown, source.confirm)

    def test_earlier_snapshot_removed_while_changes_are_listed(self):
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            image.write(b'x' * MIB, 0)
        source = self.source(volume, SIZE, volume.take_snapshot('two'), one)
        with self.image() as image:
            image.remove_snap('one')
            # Another one of that name is not the one that was asked for.
            image.create_snap('one')
        error = self.assertRaises(
            errors.DifferenceUnavailable, list, source.extents()
        )
        self.assertIn('was compared with, was removed', str(error))
        self.assertNotIn(self.name, str(error))

    def test_earlier_snapshot_removed_when_some_changes_are_listed(self):
        self.patch(rbd_extents, '_WINDOW', 8 * MIB)
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            for offset in (0, SIZE - MIB):
                image.write(b'x' * MIB, offset)
        two = volume.take_snapshot('two')
        for snapshot in (two, None):
            source = self.source(volume, SIZE, snapshot, one)
            extents = source.extents()
            self.assertEqual(0, next(extents).offset)
            with self.image() as image:
                image.remove_snap('one')
            self.assertRaises(errors.DifferenceUnavailable, list, extents)
            source.close()
            with self.image() as image:
                image.create_snap('one')
            one = volume.find_snapshot('one')
            with self.image() as image:
                for offset in (0, SIZE - MIB):
                    image.write(b'y' * MIB, offset)

    def test_what_is_read_is_removed_with_what_it_is_compared_with(self):
        volume = self.lun()
        one = volume.take_snapshot('one')
        source = self.source(volume, SIZE, volume.take_snapshot('two'), one)
        with self.image() as image:
            for name in ('one', 'two'):
                image.remove_snap(name)
        self.assertRaises(errors.SnapshotUnknown, list, source.extents())

    def test_volume_that_is_read_is_not_removed(self):
        source = self.source(self.lun(), SIZE)
        self.assertRaises(
            self.library.ImageBusy,
            *(self.library.RBD().remove, self.ioctx, self.name),
        )
        self.assertEqual(self.noise[:MIB], rbd_case.read(source, 0, MIB))
        source.close()
        self.library.RBD().remove(self.ioctx, self.name)

    def test_volume_made_smaller_while_it_is_read(self):
        source = self.source(self.lun(), SIZE)
        with self.image() as image:
            image.resize(MIB)
        with contextlib.suppress(errors.SizeMismatch):
            # Or zeros, as long as the client was not told.
            rbd_case.read(source, 8 * MIB, MIB)
        self.assertRaises(errors.SizeMismatch, source.confirm)

    def test_osd_dies_and_returns_while_it_is_read(self):
        volume = self.lun()
        source = self.source(volume, SIZE, volume.take_snapshot('one'))
        found = bytearray(SIZE)

        def read():
            for offset in range(0, SIZE, 4 * MIB):
                found[offset : offset + 4 * MIB] = rbd_case.read(
                    source, offset, 4 * MIB
                )
                begun.set()

        begun = threading.Event()
        thread = threading.Thread(target=read)
        thread.start()
        begun.wait(60)
        self.ceph.kill_osd()
        self.ceph.start_osd()
        thread.join()
        self.assertEqual(self.noise + bytes(SIZE // 2), found)
        self.assertEqual(SIZE // 2, sum(rbd_case.named(source).values()))

    def test_ceph_that_does_not_answer(self):
        volume = self.lun(timeout=3)
        source = self.source(volume, SIZE, volume.take_snapshot('one'))
        self.pause()
        error = self.in_time(
            errors.SourceUnavailable, rbd_case.read, source, 0, 4 * MIB
        )
        self.assertTrue(error.retryable)
        self.assertIn('did not answer in time', str(error))
        self.ceph.continue_osd()
        self.assertEqual(self.noise[:MIB], rbd_case.read(source, 0, MIB))

    def test_listing_that_fails_in_the_middle(self):
        with self.image() as image:
            image.resize(1 << 30)
            image.write(b'x' * MIB, 1000 * MIB)
        volume = self.lun(timeout=3)
        snapshot = volume.take_snapshot('one')
        extents = self.source(volume, 1 << 30, snapshot).extents()
        self.assertEqual(0, next(extents).offset)
        self.pause()
        self.in_time(errors.SourceUnavailable, list, extents)

    def test_job_that_is_stopped_while_ceph_does_not_answer(self):
        stopped = threading.Event()

        def check():
            if stopped.is_set():
                raise Stopped

        storage = self.storage(check=check)
        volume = storage.find(self.reference())
        one = volume.take_snapshot('one')
        source = volume.open_source(SIZE, volume.take_snapshot('two'), one)
        self.pause()
        stopped.set()
        self.in_time(Stopped, rbd_case.read, source, 0, 4 * MIB)
        self.in_time(Stopped, list, source.extents())
        start = time.monotonic()
        source.close()
        storage.close()
        # As long as for one image, whatever is open besides.
        self.assertLess(time.monotonic() - start, 4)


class TargetTest(IoTestCase):
    def test_only_a_new_volume_without_content_is_truncated(self):
        target = self.target(self.lun(), SIZE, True)
        self.assertFalse(target.truncated)
        target.close()
        self.remove()
        self.create(SIZE)
        for is_new in True, False:
            target = self.target(self.lun(), SIZE, is_new)
            self.assertEqual(is_new, target.truncated)
            target.close()

    def test_large_range_of_zeros(self):
        with self.image() as image:
            image.resize(300 * MIB)
            image.write(b'x', 299 * MIB)
        target = self.target(self.lun(), 300 * MIB)
        target.zero(1, 299 * MIB)
        target.flush()
        target.close()
        self.assertEqual(self.noise[:1] + bytes(300 * MIB - 1), self.content())

    def test_ceph_that_does_not_answer(self):
        target = self.target(self.lun(timeout=3), SIZE)
        self.pause()
        for call in (
            lambda: target.zero(MIB, MIB),
            lambda: (
                target.write(0, memoryview(b'x' * MIB)),
                target.flush(),
            ),
        ):
            error = self.in_time(errors.TargetUnavailable, call)
            self.assertTrue(error.retryable)

    def test_proxy_that_was_locked_out_writes_nothing(self):
        storage = self.storage()
        target = self.target(storage.find(self.reference()), SIZE)
        target.write(0, memoryview(b'before'))
        target.flush()
        with self.image() as image:
            [locker] = image.list_lockers()['lockers']
        command = {
            'prefix': 'osd blacklist',
            'blacklistop': 'add',
            'addr': locker[2],
        }
        self.assertEqual(
            0, self.ceph.admin.mon_command(json.dumps(command), b'')[0]
        )
        self.ceph.admin.wait_for_latest_osdmap()
        with self.image() as image:
            image.write(b'theirs', 0)
        target.write(0, memoryview(b'after!'))
        error = self.assertRaises(errors.TargetUnavailable, target.flush)
        self.assertIn('locked this proxy out', str(error))
        target.close()
        self.assertEqual(b'theirs', self.content()[:6])
