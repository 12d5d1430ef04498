# SPDX-License-Identifier: Apache-2.0
import os
import random
import threading
import time

from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import nbd
from ebackup_service.production import nbd_snapshots
from ebackup_service.production import qmp
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import nbd_servers

MIB = 1 << 20
SIZE = 64 * MIB
BLOCK = 1 << 16


class SnapshotTestCase(base.BaseTestCase):
    FORM = 'qcow2'
    REFERENCE = contract.Reference(
        conformance.VOLUME_ID, name=nbd_servers.NAME
    )

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.server = self.useFixture(
            nbd_servers.StorageDaemon(SIZE, self.FORM)
        )
        self.lun = self.make_lun()

    def storage(self, **options):
        server = self.server
        return nbd.NbdStorage.from_conf(
            nbd_servers.configuration(server.directory, **options),
            {
                'uri': f'nbd+unix:///{{name}}?socket={server.socket}',
                'qmp_socket': server.monitor,
                'qmp_file': f'{server.directory}/{{name}}',
            },
            {},
        )

    def make_lun(self, **options):
        lun = self.storage(**options).find(self.REFERENCE)
        self.addCleanup(lun.close)
        return lun

    def source(self, snapshot=None, since=None):
        source = self.lun.open_source(SIZE, snapshot, since)
        self.addCleanup(source.close)
        return source

    def changed(self, snapshot=None, since=None):
        """Blocks that a source names."""
        source = self.source(snapshot, since)
        try:
            return {
                block
                for extent in source.extents()
                for block in range(
                    extent.offset // BLOCK,
                    -(-(extent.offset + extent.length) // BLOCK),
                )
            }
        finally:
            source.close()

    def write(self, *blocks, letter=b'x'):
        guest = nbd_servers.client(self.server.socket)
        for block in blocks:
            guest.pwrite(letter * BLOCK, block * BLOCK)
        guest.flush()
        guest.shutdown()


class DifferenceTest(SnapshotTestCase):
    def test_exactly_what_a_guest_wrote(self):
        """Random blocks, while the guest goes on writing."""
        chosen = random.Random(1).sample(range(SIZE // BLOCK), 320)
        first, second = sorted(chosen[:160]), sorted(chosen[160:])
        one = self.lun.take_snapshot('one')
        self.write(*first, letter=b'1')
        two = self.lun.take_snapshot('two')
        self.write(*second, letter=b'2')
        three = self.lun.take_snapshot('three')
        self.write(*first[:20], letter=b'3')

        self.assertEqual({*first}, self.changed(two, one))
        self.assertEqual({*second}, self.changed(three, two))
        self.assertEqual({*first, *second}, self.changed(three, one))
        self.assertEqual({*first[:20], *second}, self.changed(None, two))
        self.assertEqual({*first[:20]}, self.changed(None, three))
        for snapshot, letter in ((two, b'1'), (three, b'1'), (None, b'3')):
            source = self.source(snapshot)
            buffer = memoryview(bytearray(BLOCK))
            source.read(first[0] * BLOCK, buffer)
            self.assertEqual(letter * BLOCK, bytes(buffer))

    def test_what_no_extent_names_is_as_it_was(self):
        nbd_servers.fill(self.server.socket, conformance.noise(SIZE))
        one = self.lun.take_snapshot('one')
        guest = nbd_servers.client(self.server.socket)
        writes = random.Random(2)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                offset = writes.randrange(SIZE - 5000)
                guest.pwrite(writes.randbytes(5000), offset)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            time.sleep(0.1)
            two = self.lun.take_snapshot('two')
            time.sleep(0.1)
            source = self.source(two, one)
            found = bytearray(conformance.noise(SIZE))
            for offset, length, _ in source.extents():
                source.read(
                    offset, memoryview(found)[offset : offset + length]
                )
        finally:
            stop.set()
            thread.join()
        whole = bytearray(SIZE)
        self.source(two).read(0, memoryview(whole))
        self.assertEqual(whole, found)

    def test_anchor_outlives_the_process(self):
        one = self.lun.take_snapshot('one')
        self.write(1, 2)
        self.server.stop()
        self.server.start()
        self.assertEqual(one, self.lun.find_snapshot('one'))
        self.assertRaises(errors.SnapshotUnknown, self.source, one)
        self.write(3)
        two = self.lun.take_snapshot('two')
        self.write(4)
        self.assertEqual({1, 2, 3}, self.changed(two, one))

    def test_anchor_does_not_outlive_a_crash(self):
        one = self.lun.take_snapshot('one')
        self.server.stop()
        self.server.start()
        new = self.lun.take_snapshot('new')  # in no file yet
        self.write(1)
        self.server.kill()
        self.server.start()
        self.assertTrue(
            self.server.bitmaps()[f'ebackup-{one.id}-one']['inconsistent']
        )
        self.assertIsNone(self.lun.find_snapshot('new'))
        two = self.lun.take_snapshot('two')
        for since in (one, new):
            for snapshot in (two, None):
                self.assertRaises(
                    errors.DifferenceUnavailable, self.source, snapshot, since
                )
        self.assertEqual(one, self.lun.find_snapshot('one'))
        for snapshot in (one, new, two):
            self.lun.drop_snapshot(snapshot)
        self.assertEqual(set(), self.server.parts())

    def test_bitmap_that_was_disabled_has_missed_something(self):
        one = self.lun.take_snapshot('one')
        self.server.execute(
            'block-dirty-bitmap-disable',
            node='volume',
            name=f'ebackup-{one.id}-one',
        )
        two = self.lun.take_snapshot('two')
        for snapshot in (two, None):
            self.assertRaises(
                errors.DifferenceUnavailable, self.source, snapshot, one
            )

    def test_bitmap_that_is_in_use(self):
        one = self.lun.take_snapshot('one')
        self.lun.reduce_to_anchor(one)
        self.server.execute(
            'block-export-add',
            **{
                'type': 'nbd',
                'id': 'other',
                'node-name': 'volume',
                'name': 'other',
                'writable': True,
                'bitmaps': [f'ebackup-{one.id}-one'],
            },
        )
        two = self.lun.take_snapshot('two')
        for snapshot in (two, None):
            self.assertRaises(
                errors.DifferenceUnavailable, self.source, snapshot, one
            )

    def test_bitmaps_of_others_are_left_alone(self):
        for name in ('checkpoint', 'ebackup-mine', f'ebackup-{"0" * 20}'):
            self.server.execute(
                'block-dirty-bitmap-add', node='volume', name=name
            )
        one = self.lun.take_snapshot('one')
        self.assertIsNone(self.lun.find_snapshot('mine'))
        self.lun.drop_snapshot(one)
        self.assertEqual(
            {'checkpoint', 'ebackup-mine', f'ebackup-{"0" * 20}'},
            {*self.server.bitmaps()},
        )

    def test_comparison_leaves_nothing(self):
        one = self.lun.take_snapshot('one')
        self.lun.reduce_to_anchor(one)
        before = self.server.parts()
        source = self.source(None, one)
        self.assertNotEqual(before, self.server.parts())
        self.assertRaises(errors.SnapshotBusy, self.lun.drop_snapshot, one)
        source.close()
        self.assertEqual(before, self.server.parts())

    def test_comparison_that_somebody_ends(self):
        one = self.lun.take_snapshot('one')
        lun = self.make_lun(outage=0.3)
        source = lun.open_source(SIZE, None, one)
        self.addCleanup(source.close)
        [export] = [
            export['id']
            for export in self.server.execute('query-block-exports')
            if export['id'].startswith(f'ebackup-{one.id}.')
        ]
        self.server.execute('block-export-del', id=export, mode='hard')
        self.assertRaises(errors.DifferenceUnavailable, list, source.extents())

    def test_comparison_that_was_left_goes_with_its_snapshot(self):
        """Whoever compared was killed."""
        one = self.lun.take_snapshot('one')
        source = self.lun.open_source(SIZE, None, one)
        source._release = None
        source.close()
        self.assertEqual({4}, self.wrote_and_compared(one, 4))
        self.lun.drop_snapshot(one)
        self.assertEqual(set(), self.server.parts())

    def wrote_and_compared(self, since, block):
        self.write(block)
        return self.changed(None, since)

    def test_volume_is_written_to_while_it_is_compared(self):
        """As a restore in place does it."""
        self.write(1, 2, letter=b'1')
        one = self.lun.take_snapshot('one')
        self.lun.reduce_to_anchor(one)
        self.write(2, letter=b'2')
        source = self.source(None, one)
        target = self.lun.open_target(SIZE, False)
        self.addCleanup(target.close)
        target.write(2 * BLOCK, memoryview(b'1' * BLOCK))
        target.write(3 * BLOCK, memoryview(b'3' * BLOCK))
        target.flush()
        data = contract.ExtentKind.DATA
        self.assertEqual(
            [contract.Extent(2 * BLOCK, BLOCK, data)], list(source.extents())
        )
        source.close()
        self.assertEqual({2, 3}, self.changed(None, one))

    def test_wrong_size_leaves_nothing(self):
        one = self.lun.take_snapshot('one')
        before = self.server.parts()
        self.assertRaises(
            errors.SizeMismatch,
            self.lun.open_source,
            *(SIZE + 512, None, one),
        )
        self.assertEqual(before, self.server.parts())


class LifeTest(SnapshotTestCase):
    def test_nothing_is_left(self):
        self.assertEqual(set(), self.server.parts())
        one = self.lun.take_snapshot('one')
        two = self.lun.take_snapshot('two')
        self.source(two, one).close()
        self.assertEqual(
            [],
            [
                name
                for name in os.listdir(self.server.directory)
                if name.startswith('ebackup')
            ],
        )
        self.lun.reduce_to_anchor(two)
        self.lun.drop_snapshot(one)
        self.assertEqual({f'ebackup-{two.id}-two'}, self.server.parts())
        self.lun.drop_snapshot(two)
        self.assertEqual(set(), self.server.parts())

    def test_anchor_copies_nothing_for_the_guest(self):
        one = self.lun.take_snapshot('one')
        self.lun.reduce_to_anchor(one)
        self.assertRaises(errors.SnapshotUnknown, self.source, one)
        self.assertEqual([], self.server.execute('query-jobs'))

    def test_one_that_is_read_is_busy(self):
        one = self.lun.take_snapshot('one')
        source = self.source(one)
        for call in (self.lun.drop_snapshot, self.lun.reduce_to_anchor):
            error = self.assertRaises(errors.SnapshotBusy, call, one)
            self.assertTrue(error.retryable)
        source.close()
        self.lun.drop_snapshot(one)

    def test_job_that_somebody_ended(self):
        one = self.lun.take_snapshot('one')
        source = self.source(one)
        self.write(5, letter=b'5')
        source.confirm()
        self.server.execute('job-cancel', id=f'ebackup-{one.id}')
        self.write(6, letter=b'6')  # nobody keeps what was there
        self.assertRaises(errors.SnapshotUnknown, source.confirm)
        source.close()
        self.assertRaises(errors.SnapshotUnknown, self.source, one)
        self.lun.drop_snapshot(one)
        self.assertEqual(set(), self.server.parts())

    def test_process_dies_while_it_is_read(self):
        lun = self.make_lun(outage=0.5)
        one = lun.take_snapshot('one')
        source = lun.open_source(SIZE, one)
        self.server.kill()
        self.server.start()
        self.assertRaises(
            errors.SnapshotUnknown,
            source.read,
            *(0, memoryview(bytearray(1))),
        )
        self.assertRaises(errors.SnapshotUnknown, source.confirm)
        source.close()

    def test_begun_without_success_is_removed(self):
        """A proxy is killed after each of its commands to QEMU."""
        done = 0
        while True:
            if self.killed_after(done):
                break
            snapshot = self.lun.find_snapshot('one')
            if snapshot is None:
                self.assertEqual(set(), self.server.parts(), done)
            else:
                self.assertRaises(
                    errors.SnapshotUnknown, self.source, snapshot
                )
                self.lun.drop_snapshot(snapshot)
                self.assertEqual(set(), self.server.parts(), done)
            done += 1
        self.assertEqual(8, done)

    def killed_after(self, count):
        """Returns whether it was done before."""

        class Killed(BaseException):
            pass

        lun = self.make_lun()
        connect = lun._snapshots._connect
        commands = []

        def counting():
            process = connect()
            execute = process.execute

            def counted(command, **arguments):
                if len(commands) >= count:
                    raise Killed
                if not command.startswith('query'):
                    commands.append(command)
                return execute(command, **arguments)

            process.execute = counted
            return process

        lun._snapshots._connect = counting
        lun._snapshots._remove = lambda *_: None
        try:
            snapshot = lun.take_snapshot('one')
        except Killed:
            return False
        self.lun.drop_snapshot(snapshot)
        return True

    def test_somebody_lists_nodes_all_the_time(self):
        """As libvirt does; QEMU 7.2 aborts if an image is being made then."""
        monitor = qmp.Monitor(
            self.server.another_monitor, nbd_servers.SECONDS, lambda: None
        )
        self.addCleanup(monitor.close)
        ended = threading.Event()
        listed = []

        def look():
            while not ended.is_set():
                nodes = monitor.execute('query-named-block-nodes', flat=True)
                listed.append(len(nodes))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(50):
                self.lun.drop_snapshot(self.lun.take_snapshot('one'))
        finally:
            ended.set()
            thread.join()
        self.assertGreater(len(listed), 50)
        self.assertIsNone(self.server.process.poll())

    def test_qemu_refuses(self):
        before = self.server.parts()
        missing = os.path.join(self.server.directory, 'missing')
        lun = self.make_lun(scratch_directory=missing)
        error = self.assertRaises(
            errors.SourceUnavailable, lun.take_snapshot, 'one'
        )
        self.assertIn(missing, str(error))
        self.assertEqual(before, self.server.parts())

    def test_image_that_qemu_does_not_have(self):
        lun = self.make_lun()
        lun._snapshots._file = '/nonexistent'
        self.assertRaises(errors.VolumeUnknown, lun.take_snapshot, 'one')

    def test_volume_that_is_not_exported_may_have_snapshots(self):
        def kept():
            return self.storage().find_kept(self.REFERENCE, self.lun.key)

        self.server.execute('block-export-del', id='guest')
        for find in self.make_lun, kept:
            error = self.assertRaises(errors.SourceUnavailable, find)
            self.assertTrue(error.retryable)
        os.unlink(self.server.image)
        self.assertRaises(errors.VolumeUnknown, self.make_lun)
        self.assertIsNone(kept())

    def test_volume_in_a_directory_that_is_not_there(self):
        snapshots = nbd_snapshots.Snapshots(None, '/nonexistent/a/b', '', None)
        self.assertTrue(snapshots.may_be_there())

    def test_image_under_an_overlay(self):
        """What a guest writes goes to the overlay, past our bitmap."""
        one = self.lun.take_snapshot('one')
        overlay = os.path.join(self.server.directory, 'overlay')
        self.lun.reduce_to_anchor(one)
        self.server.execute(
            'blockdev-snapshot-sync',
            **{
                'node-name': 'volume',
                'snapshot-file': overlay,
                'snapshot-node-name': 'overlay',
            },
        )
        for call in (
            lambda: self.lun.take_snapshot('two'),
            lambda: self.source(None, one),
        ):
            self.assertRaises(errors.VolumeBusy, call)


class RawTest(SnapshotTestCase):
    FORM = 'raw'

    def test_anchor_ends_with_the_process(self):
        one = self.lun.take_snapshot('one')
        self.write(3)
        two = self.lun.take_snapshot('two')
        self.assertEqual({3}, self.changed(two, one))
        self.server.stop()
        self.server.start()
        self.assertIsNone(self.lun.find_snapshot('one'))
        two = self.lun.take_snapshot('two')
        self.assertRaises(errors.DifferenceUnavailable, self.source, two, one)
