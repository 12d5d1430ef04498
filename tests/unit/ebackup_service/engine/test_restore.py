# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import time

from ebackup_service.engine import control
from ebackup_service.engine import lost as restore_lost
from ebackup_service.engine import restore
from ebackup_service.production import device
from ebackup_service.production import errors
from ebackup_service.production import paths
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import layout
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes
from tests.unit.ebackup_service.production import loops

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
MIB = 1 << 20


def holey(size):
    """Content with holes of several sizes, and an odd end."""
    content = bytearray(volumes.noise(size))
    for start, end in (
        (3 * CHUNK, 5 * CHUNK),
        (70 * CHUNK, 200 * CHUNK),
        (LEAF, 3 * LEAF),
        (4 * LEAF - CHUNK, 4 * LEAF + 5),
    ):
        content[start:end] = bytes(len(content[start:end]))
    return bytes(content)


SIZE = 5 * LEAF + 777


class RestoreTestCase(volumes.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.old = holey(SIZE)
        self.image, _ = self.back_up(self.old)
        self.data = sum(
            1
            for position in range(0, SIZE, CHUNK)
            if any(self.old[position : position + CHUNK])
        )

    def assertRestored(self, target):
        self.assertEqual(self.old, target.content[:SIZE])
        self.assertEqual(1, target.flushed)
        self.assertEqual(100, self.progress.snapshot()['percent'])


class EmptiedFileTest(RestoreTestCase):
    def test_only_data_is_written(self):
        target = volumes.MemoryTarget(bytes(SIZE), truncated=True)
        statistics = self.restore(self.image, target)
        self.assertRestored(target)
        self.assertEqual(([], []), (target.reads, target.zeroed))
        self.assertEqual(self.data, statistics['chunks_changed'])
        self.assertEqual(
            sum(length for _, length in target.writes),
            statistics['bytes_written'],
        )

    def test_writes_are_large(self):
        target = volumes.MemoryTarget(bytes(SIZE), truncated=True)
        self.restore(self.image, target)
        longest = max(length for _, length in target.writes)
        self.assertEqual(restore.restore_leaf.IO_SIZE, longest)
        self.assertIn((0, 3 * CHUNK), target.writes)

    def test_image_of_zeros(self):
        image, _ = self.back_up(bytes(2 * LEAF))
        target = volumes.MemoryTarget(bytes(2 * LEAF), truncated=True)
        self.restore(image, target)
        self.assertEqual([], target.writes)
        self.assertEqual(100, self.progress.snapshot()['percent'])

    def test_empty_image(self):
        image, _ = self.back_up(b'')
        target = volumes.MemoryTarget(b'')
        self.restore(image, target)
        self.assertEqual(1, target.flushed)


class NewVolumeTest(RestoreTestCase):
    def test_holes_are_zeroed(self):
        """A new volume may show what was there before it."""
        target = volumes.MemoryTarget(b'x' * SIZE)
        statistics = self.restore(self.image, target, volume_is_new=True)
        self.assertRestored(target)
        self.assertEqual([], target.reads)
        self.assertEqual(self.data, statistics['chunks_changed'])
        self.assertEqual(
            sum(length for _, length in target.zeroed),
            statistics['bytes_zeroed'],
        )

    def test_large_holes_in_large_steps(self):
        image, _ = self.back_up(bytes(20 * LEAF))
        target = volumes.MemoryTarget(b'x' * (20 * LEAF))
        self.restore(image, target, volume_is_new=True)
        self.assertEqual(20, len(target.zeroed))
        self.assertEqual(20 * LEAF, target.content.count(0))


class BufferTest(volumes.EngineTestCase):
    """What is written stays as it is until that is done."""

    WORKERS = 1

    def test_chunk_that_comes_again_in_several_buffers(self):
        same, other = volumes.noise(CHUNK, 1), volumes.noise(LEAF, 2)
        content = 150 * same + other[: 20 * CHUNK] + 86 * same + other
        image, _ = self.back_up(content)
        target = volumes.MemoryTarget(bytes(len(content)), truncated=True)
        # Other chunks are put into buffers meanwhile, if they can be.
        target.before_write = lambda: time.sleep(0.02)
        self.restore(image, target)
        self.assertEqual(content, target.content)


class ChunkSizeTest(volumes.EngineTestCase):
    PACK_SIZE = 32 * MIB

    def test_large_chunks(self):
        content = (
            volumes.noise(4 * MIB)
            + bytes(8 * MIB)
            + volumes.noise(9 * MIB + 3)
        )
        image, _ = self.back_up(content, chunk_size=4 * MIB)
        target = volumes.MemoryTarget(b'x' * len(content))
        self.restore(image, target, volume_is_new=True)
        self.assertEqual(content, target.content)


class InPlaceTest(RestoreTestCase):
    def test_same_content_is_not_written(self):
        target = volumes.MemoryTarget(self.old)
        statistics = self.restore(self.image, target)
        self.assertRestored(target)
        self.assertEqual(([], []), (target.writes, target.zeroed))
        self.assertEqual(SIZE, statistics['bytes_read'])

    def test_only_differences_are_written(self):
        content = bytearray(self.old)
        content[10] ^= 1  # data in data
        content[4 * CHUNK] = 1  # data in a hole of a leaf
        content[2 * LEAF + 5] = 1  # data in a leaf that is a hole
        content[6 * CHUNK : 7 * CHUNK] = bytes(CHUNK)  # a hole in data
        content[-1] ^= 1  # the short last chunk
        target = volumes.MemoryTarget(content)
        self.restore(self.image, target)
        self.assertRestored(target)
        last = 5 * LEAF
        self.assertEqual(
            [(0, CHUNK), (6 * CHUNK, CHUNK), (last, SIZE - last)],
            sorted(target.writes),
        )
        self.assertEqual(
            [(4 * CHUNK, CHUNK), (2 * LEAF, CHUNK)], sorted(target.zeroed)
        )

    def test_other_content_all_over(self):
        target = volumes.MemoryTarget(volumes.noise(SIZE, 2))
        self.restore(self.image, target)
        self.assertRestored(target)

    def test_tail_of_a_larger_volume_is_left_alone(self):
        for new in (True, False):
            target = volumes.MemoryTarget(b'x' * (SIZE + LEAF))
            self.restore(self.image, target, volume_is_new=new)
            self.assertRestored(target)
            self.assertEqual(LEAF, target.content[SIZE:].count(b'x'))

    def test_smaller_volume(self):
        target = volumes.MemoryTarget(bytes(SIZE - 1))
        error = self.assertRaises(
            errors.SizeMismatch, self.restore, self.image, target
        )
        self.assertIn(str(SIZE), str(error))
        self.assertEqual([], target.writes)


class DeviceTest(RestoreTestCase):
    """Onto a real block device."""

    def setUp(self):
        super().setUp()
        # Devices have whole sectors; the image ends inside of one.
        self.loop = self.useFixture(loops.LoopDevice(6 * LEAF))

    def on_device(self, volume_is_new):
        place = paths.look(self.loop.path, ['/dev'])
        target = device.open_target(place, 6 * LEAF)
        try:
            return self.restore(self.image, target, volume_is_new)
        finally:
            target.close()

    def device_content(self):
        return pathlib.Path(self.loop.path).read_bytes()

    def test_new_and_in_place(self):
        pathlib.Path(self.loop.path).write_bytes(b'x' * (6 * LEAF))
        self.on_device(volume_is_new=True)
        expected = self.old + b'x' * (6 * LEAF - SIZE)
        self.assertEqual(expected, self.device_content())

        with open(self.loop.path, 'r+b') as file:
            file.seek(LEAF + 5)
            file.write(b'garbage')
        statistics = self.on_device(volume_is_new=False)
        self.assertEqual(expected, self.device_content())
        self.assertEqual(CHUNK, statistics['bytes_zeroed'])
        self.assertEqual(0, statistics['bytes_written'])


class LostTest(RestoreTestCase):
    """What is damaged becomes zeros; the rest is restored."""

    def setUp(self):
        super().setUp()
        self.lost = restore_lost.Lost()

    def again(self):
        """The image, with nothing in memory."""
        return tree.Tree(self.repo, self.image.root, SIZE, CHUNK)

    def targets(self):
        other = volumes.noise(SIZE, 2)
        yield volumes.MemoryTarget(bytes(SIZE), truncated=True), False
        yield volumes.MemoryTarget(other), True
        yield volumes.MemoryTarget(other), False

    def check(self, *lost):
        expected = bytearray(self.old)
        for offset, length in lost:
            expected[offset : offset + length] = bytes(length)
        for target, is_new in self.targets():
            self.lost = restore_lost.Lost()
            self.restore(self.again(), target, is_new, lost=self.lost)
            self.assertEqual(bytes(expected), target.content)
            self.assertEqual(list(lost), list(self.lost.extents))
            self.assertEqual(1, target.flushed)
            self.assertEqual(100, self.progress.snapshot()['percent'])

    def test_nothing_is_lost(self):
        self.check()

    def test_some_chunks_of_several_leaves(self):
        last = SIZE // CHUNK
        for chunk in (0, 7, 8, 255, 3 * 256 + 1, last):
            self.damage(self.image.leaf(chunk // 256).locator(chunk % 256))

        self.check(
            (0, CHUNK),
            (7 * CHUNK, 2 * CHUNK),
            (255 * CHUNK, CHUNK),
            (769 * CHUNK, CHUNK),
            (last * CHUNK, SIZE - last * CHUNK),
        )
        self.assertIn('chunk', str(self.lost.error))

    def test_a_pack_that_is_gone(self):
        where = self.image.leaf(0).locator(0)
        os.unlink(os.path.join(self.directory, layout.pack_key(where.pack)))
        target = volumes.MemoryTarget(bytes(SIZE), truncated=True)
        self.restore(self.again(), target, lost=self.lost)
        self.assertLess(CHUNK, self.lost.extents.bytes)
        for offset, length in self.lost.extents:
            self.assertEqual(
                bytes(length), target.content[offset : offset + length]
            )

    def test_a_leaf(self):
        self.damage(self.image.where(0, 3))
        self.check((3 * LEAF, LEAF))

    def test_the_top(self):
        self.damage(self.image.root)
        self.check((0, SIZE))

    def test_chunk_that_the_volume_still_has_is_not_lost(self):
        self.damage(self.image.leaf(0).locator(7))
        content = bytearray(self.old)
        content[0] ^= 1
        target = volumes.MemoryTarget(content)
        self.restore(self.again(), target, lost=self.lost)
        self.assertRestored(target)
        self.assertFalse(self.lost.extents)


class FaultTest(RestoreTestCase):
    def target(self):
        return volumes.MemoryTarget(b'x' * SIZE)

    def test_cancelled_in_the_middle(self):
        target = self.target()
        target.before_write = lambda: (
            len(target.writes) > 2 and self.control.cancel('not needed')
        )
        self.assertRaises(control.JobStopped, self.restore, self.image, target)
        self.assertEqual(0, target.flushed)
        self.assertLess(len(target.writes), 6)

    def test_lost_lease_stops_writing(self):
        now = [0.0]
        self.control = control.Control(1.0, clock=lambda: now[0])
        target = self.target()

        def before_write():
            now[0] += 0.4

        target.before_write = before_write
        self.assertRaises(control.LeaseLost, self.restore, self.image, target)
        # Each of the two workers may have one write under way.
        self.assertLess(len(target.writes) + len(target.zeroed), 5)

    def test_failing_target_is_what_is_raised(self):
        target = self.target()

        def fail():
            raise errors.TargetUnavailable('the LUN is gone')

        target.before_write = fail
        self.assertRaises(
            errors.TargetUnavailable, self.restore, self.image, target
        )

    def test_damaged_chunk_never_reaches_the_volume(self):
        # Which pack has it depends on which worker came first.
        self.damage(self.image.leaf(0).locator(0))
        target = volumes.MemoryTarget(bytes(SIZE), truncated=True)
        self.assertRaises(
            repository_errors.Corrupt, self.restore, self.image, target
        )
        self.assertEqual(bytes(CHUNK), target.content[:CHUNK])

    def test_missing_pack(self):
        where = self.image.leaf(0).locator(0)
        os.unlink(os.path.join(self.directory, layout.pack_key(where.pack)))
        error = self.assertRaises(
            repository_errors.Corrupt,
            self.restore,
            self.image,
            self.target(),
        )
        self.assertIn('missing', str(error))

    def test_chunk_of_another_length(self):
        """Valid by its id, and yet not what belongs in this place."""
        image, _ = self.back_up(volumes.noise(CHUNK + 5))
        for size, reason in (
            (CHUNK + 9, '5 bytes instead of 9'),
            (CHUNK + 3, '5 bytes instead of 3'),
            (2 * CHUNK, f'5 bytes instead of {CHUNK}'),
            (CHUNK - 1, f'{CHUNK} bytes instead of {CHUNK - 1}'),
        ):
            other = tree.Tree(self.repo, image.root, size, CHUNK)
            target = volumes.MemoryTarget(bytes(size))
            error = self.assertRaises(
                repository_errors.Corrupt, self.restore, other, target
            )
            # Where the volume has fewer chunks, the leaf itself is damaged.
            if size >= CHUNK:
                self.assertIn(reason, str(error))
            self.assertEqual(0, target.flushed)
