# SPDX-License-Identifier: Apache-2.0
import os
import random
import threading
import time
import uuid

import fixtures

from ebackup_service.engine import control
from ebackup_service.engine import throttle
from ebackup_service.production import attached
from ebackup_service.production import errors
from ebackup_service.repository import discard
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import extents
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
DATA, HOLE, UNCHANGED = volumes.DATA, volumes.HOLE, volumes.UNCHANGED
MIB = 1 << 20


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class FullBackupTest(volumes.EngineTestCase):
    def test_sizes_that_are_no_multiple_of_anything(self):
        for size in (
            0,
            1,
            511,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            64 * CHUNK + 5,
            LEAF - 1,
            LEAF,
            LEAF + 1,
            2 * LEAF + 3 * CHUNK + 7,
        ):
            with self.subTest(size=size):
                content = noise(size)
                image, result = self.back_up(content)
                self.assertHolds(content, image)
                self.assertEqual(
                    -(-size // CHUNK), result.statistics['chunks_total']
                )
                self.assertEqual(size, result.statistics['bytes_read'])

    def test_zeros_are_not_stored(self):
        content = bytearray(3 * LEAF + 5)
        content[LEAF + 5 * CHUNK : LEAF + 6 * CHUNK] = noise(CHUNK)
        image, result = self.back_up(bytes(content))
        self.assertHolds(content, image)
        self.assertEqual(1, result.statistics['chunks_stored'])
        self.assertEqual(3 * 256, result.statistics['chunks_zero'])
        self.assertEqual([1], list(image.leaves()))

    def test_volume_of_zeros_has_no_tree(self):
        image, result = self.back_up(bytes(2 * LEAF))
        self.assertIsNone(result.tree)
        self.assertHolds(bytes(2 * LEAF), image)

    def test_chunk_that_differs_from_zeros_in_its_last_byte(self):
        for size in (CHUNK, CHUNK + 3, 13):
            content = bytes(size - 1) + b'\1'
            image, result = self.back_up(content)
            self.assertEqual(1, result.statistics['chunks_stored'])
            self.assertHolds(content, image)

    def test_repeated_content_is_stored_once_a_worker(self):
        content = noise(CHUNK) * 256
        image, result = self.back_up(content)
        self.assertEqual(1, result.statistics['chunks_stored'])
        self.assertEqual(256, result.statistics['chunks_changed'])
        self.assertHolds(content, image)

    def test_what_is_remembered_is_bounded(self):
        self.useFixture(
            fixtures.MockPatch(
                'ebackup_service.engine.backup_leaf._REMEMBERED', 2
            )
        )
        content = (noise(4 * CHUNK) + noise(CHUNK, 2)) * 3
        image, result = self.back_up(content)
        self.assertEqual(15, result.statistics['chunks_stored'])
        self.assertHolds(content, image)

    def test_holes_are_not_read(self):
        content = bytearray(4 * LEAF)
        content[LEAF : LEAF + 10] = b'x' * 10
        source = volumes.MemorySource(content, [(LEAF, 10, DATA)])
        image, result = self.back_up(source)
        self.assertEqual([(LEAF, CHUNK)], source.read)
        self.assertEqual(4 * 256 - 1, result.statistics['chunks_zero'])
        self.assertHolds(content, image)

    def test_progress_reaches_everything(self):
        content = noise(LEAF) + bytes(3 * LEAF + 5)
        self.back_up(
            volumes.MemorySource(content, [(0, LEAF + CHUNK + 1, DATA)])
        )
        snapshot = self.progress.snapshot()
        self.assertEqual(len(content), snapshot['bytes_done'])
        self.assertEqual(LEAF + 2 * CHUNK, snapshot['bytes_read'])
        self.assertEqual(100, snapshot['percent'])
        self.assertEqual(
            self.session.counters.stored_bytes, snapshot['bytes_stored']
        )

    def test_one_worker(self):
        self.WORKERS = 1
        content = noise(2 * LEAF + 5)
        image, _ = self.back_up(content)
        self.assertHolds(content, image)

    def test_huge_sparse_file_takes_no_time(self):
        """1 TiB with one block written: holes are not walked through."""
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'v')
        size, position = 1 << 40, (1 << 39) + 12345
        with open(path, 'wb') as file:
            file.truncate(size)
            file.seek(position)
            file.write(b'content')
        storage = attached.AttachedStorage([os.path.dirname(path)], 'here')
        attachment = {'kind': 'attached', 'host': 'here', 'path': path}
        source = storage.open_source(attachment, size)
        self.addCleanup(source.close)
        before = time.process_time()
        image, result = self.back_up(source, chunk_size=65536)
        self.assertLess(time.process_time() - before, 5)
        self.assertEqual(1, result.statistics['chunks_stored'])
        self.assertEqual(size // 65536, result.statistics['chunks_total'])
        self.assertEqual([position // image.leaf_span], list(image.leaves()))

        with open(path, 'wb'):
            pass
        target = storage.open_target(attachment, size, volume_is_new=True)
        self.addCleanup(target.close)
        before = time.process_time()
        self.restore(image, target)
        self.assertLess(time.process_time() - before, 5)
        self.assertEqual(size, os.stat(path).st_size)
        with open(path, 'rb') as file:
            file.seek(position - 5)
            self.assertEqual(bytes(5) + b'content\0', file.read(13))


class ChunkSizeTest(volumes.EngineTestCase):
    PACK_SIZE = 32 * MIB

    def test_chunk_sizes(self):
        content = noise(9 * MIB + 11)
        for chunk_size in (65536, 256 * 1024, MIB, 4 * MIB):
            with self.subTest(chunk_size=chunk_size):
                image, _ = self.back_up(content, chunk_size=chunk_size)
                self.assertHolds(content, image)


class IncrementalBackupTest(volumes.EngineTestCase):
    def changed(self, content, *offsets):
        changed = bytearray(content)
        for offset in offsets:
            changed[offset : offset + 3] = b'new'
        return bytes(changed)

    def test_only_what_changed_is_stored(self):
        old = noise(3 * LEAF + 5)
        base, _ = self.back_up(old)
        new = self.changed(old, 17, LEAF + 5 * CHUNK, len(old) - 3)
        image, result = self.back_up(new, base)
        self.assertHolds(new, image)
        self.assertHolds(old, base)
        self.assertEqual(3, result.statistics['chunks_stored'])
        self.assertEqual(3, result.statistics['chunks_changed'])
        self.assertEqual(len(new), result.statistics['bytes_read'])

    def test_nothing_changed_writes_nothing(self):
        content = noise(2 * LEAF + 5)
        base, _ = self.back_up(content)
        image, result = self.back_up(content, base)
        self.assertEqual(base.root, image.root)
        self.assertEqual(0, result.statistics['bytes_stored'])
        self.assertEqual(0, self.session.counters.packs)

    def test_generation_tells_what_changed(self):
        old = noise(2 * CHUNK)
        base, _ = self.back_up(old)
        image, _ = self.back_up(self.changed(old, CHUNK), base)
        leaf = image.leaf(0)
        self.assertEqual(
            [1, 2], [leaf.locator(slot).generation for slot in (0, 1)]
        )

    def test_became_zeros(self):
        old = noise(LEAF + CHUNK)
        base, _ = self.back_up(old)
        for new in (
            bytes(CHUNK) + old[CHUNK:],
            bytes(LEAF) + old[LEAF:],
            old[:LEAF] + bytes(CHUNK),
            bytes(len(old)),
        ):
            image, result = self.back_up(new, base)
            self.assertEqual(0, result.statistics['chunks_stored'])
            self.assertHolds(new, image)

    def test_became_a_hole(self):
        old = noise(3 * LEAF)
        base, _ = self.back_up(old)
        new = bytes(LEAF) + old[LEAF : 2 * LEAF] + bytes(LEAF)
        source = volumes.MemorySource(new, [(LEAF, LEAF, DATA)])
        image, _ = self.back_up(source, base)
        self.assertHolds(new, image)

    def test_base_without_a_leaf(self):
        base, _ = self.back_up(bytes(2 * LEAF))
        new = bytes(LEAF) + noise(LEAF)
        image, _ = self.back_up(new, base)
        self.assertHolds(new, image)

    def test_other_sizes(self):
        sizes = (
            1,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            LEAF - 5,
            LEAF,
            LEAF + 5,
            2 * LEAF + CHUNK + 9,
        )
        content = noise(max(sizes))
        bases = {size: self.back_up(content[:size])[0] for size in sizes}
        for old, base in bases.items():
            for new in sizes:
                with self.subTest(old=old, new=new):
                    image, result = self.back_up(content[:new], base)
                    self.assertHolds(content[:new], image)
                    # All whole chunks that both have are the same.
                    same = min(old, new) // CHUNK
                    if old == new:
                        same = -(-new // CHUNK)
                    self.assertEqual(
                        -(-new // CHUNK) - same,
                        result.statistics['chunks_changed'],
                    )

    def test_volume_that_grew_by_zeros(self):
        old = noise(CHUNK + 9)
        base, _ = self.back_up(old)
        new = old + bytes(LEAF)
        image, _ = self.back_up(new, base)
        self.assertHolds(new, image)

    def test_other_chunk_size(self):
        base, _ = self.back_up(noise(CHUNK))
        self.assertRaises(
            ValueError, self.back_up, noise(MIB), base, chunk_size=MIB
        )


class ChangeSourceTest(volumes.EngineTestCase):
    """Sources that say what changed."""

    def setUp(self):
        super().setUp()
        self.old = noise(4 * LEAF + 100)
        self.base, _ = self.back_up(self.old)

    def back_up_changes(self, new, named, base=None, gaps=UNCHANGED):
        source = volumes.MemorySource(new, named, gaps)
        image, result = self.back_up(source, base)
        return image, source.read, result

    def test_only_what_changed_is_read(self):
        new = bytearray(self.old)
        new[LEAF + 10 : LEAF + 13] = b'new'
        image, read, _ = self.back_up_changes(
            new, [(LEAF + 10, 3, DATA)], self.base
        )
        self.assertEqual([(LEAF, CHUNK)], read)
        self.assertHolds(new, image)

    def test_nothing_changed(self):
        image, read, result = self.back_up_changes(self.old, [], self.base)
        self.assertEqual([], read)
        self.assertEqual(self.base.root, image.root)
        self.assertEqual(0, result.statistics['chunks_zero'])
        self.assertEqual(100, self.progress.snapshot()['percent'])

    def test_named_as_changed_and_is_not(self):
        image, read, result = self.back_up_changes(
            self.old, [(0, 2 * CHUNK, DATA)], self.base
        )
        self.assertEqual([(0, 2 * CHUNK)], read)
        self.assertEqual(self.base.root, image.root)

    def test_discarded_ranges(self):
        new = bytearray(self.old)
        new[: LEAF + CHUNK] = bytes(LEAF + CHUNK)
        new[2 * LEAF : 2 * LEAF + 10] = bytes(10)
        image, read, _ = self.back_up_changes(
            new,
            [(0, LEAF + CHUNK, HOLE), (2 * LEAF, 10, HOLE)],
            self.base,
        )
        # The second hole is smaller than its chunk: the rest is unchanged.
        self.assertEqual([(2 * LEAF, CHUNK)], read)
        self.assertHolds(new, image)

    def test_without_a_base_everything_is_read(self):
        image, read, result = self.back_up_changes(self.old, [])
        self.assertEqual(len(self.old), result.statistics['bytes_read'])
        self.assertHolds(self.old, image)

    def test_grown(self):
        new = self.old + noise(LEAF, 2)
        image, read, result = self.back_up_changes(new, [], self.base)
        self.assertHolds(new, image)
        # From the chunk in which the old volume ended.
        self.assertEqual(4 * LEAF, min(offset for offset, _ in read))
        self.assertEqual(LEAF + 100, result.statistics['bytes_read'])

    def test_shrunk_volume_is_read_whole(self):
        new = self.old[: LEAF + 7]
        image, read, result = self.back_up_changes(new, [], self.base)
        self.assertEqual(len(new), result.statistics['bytes_read'])
        self.assertHolds(new, image)

    def test_base_of_zeros(self):
        base, _ = self.back_up(bytes(2 * LEAF))
        image, read, _ = self.back_up_changes(
            b'x' + bytes(2 * LEAF - 1), [(0, 1, DATA)], base
        )
        self.assertEqual([(0, CHUNK)], read)
        self.assertHolds(b'x' + bytes(2 * LEAF - 1), image)

    def test_malformed_extents(self):
        self.assertRaises(
            errors.ExtentsInvalid,
            self.back_up_changes,
            self.old,
            [(10, 10, DATA), (15, 10, DATA)],
            self.base,
        )


class DamagedBaseTest(volumes.EngineTestCase):
    """What the base has lost is taken from the volume."""

    def setUp(self):
        super().setUp()
        self.old = noise(4 * LEAF)
        self.base, _ = self.back_up(self.old)

    def check(self, content, stored, source=None, *ranges):
        image, result = self.back_up(
            source or content, self.base, damaged=extents.Extents(ranges)
        )
        self.assertEqual(stored, result.statistics['chunks_stored'])
        self.assertHolds(content, image)
        return image, result

    def test_damaged_chunk_is_stored_again(self):
        self.damage(self.base.leaf(1).locator(3))
        place = LEAF + 3 * CHUNK

        image, _ = self.check(self.old, 1, None, (place, CHUNK))

        again = image.leaf(1).locator(3)
        self.assertEqual(self.base.leaf(1).locator(3).id, again.id)
        self.assertNotEqual(self.base.leaf(1).locator(3).pack, again.pack)
        self.assertEqual(self.base.where(0, 2), image.where(0, 2))

    def test_damaged_chunk_is_read_though_it_has_not_changed(self):
        self.damage(self.base.leaf(1).locator(3))
        source = volumes.MemorySource(self.old, [], UNCHANGED)

        _, result = self.check(self.old, 1, source, (LEAF + 3 * CHUNK, CHUNK))

        self.assertEqual(CHUNK, result.statistics['bytes_read'])

    def test_chunk_that_changed_or_became_a_hole(self):
        for slot in (3, 4):
            self.damage(self.base.leaf(1).locator(slot))
        place = LEAF + 3 * CHUNK
        content = bytearray(self.old)
        content[place : place + 2 * CHUNK] = noise(CHUNK, 5) + bytes(CHUNK)

        self.check(bytes(content), 1, None, (place, 2 * CHUNK))

    def test_what_is_said_to_be_damaged_and_is_not(self):
        self.check(self.old, 256, None, (2 * LEAF, LEAF))

    def test_damaged_leaf_is_read_whether_it_is_known_or_not(self):
        self.damage(self.base.where(0, 1))
        for ranges in ((), ((LEAF, LEAF),)):
            self.check(self.old, 256, None, *ranges)
            named = [(LEAF, 5, DATA)]
            source = volumes.MemorySource(self.old, named, UNCHANGED)
            _, result = self.check(self.old, 256, source, *ranges)
            self.assertEqual(LEAF, result.statistics['bytes_read'])

    def test_damaged_top(self):
        self.damage(self.base.root)
        self.base = tree.Tree(self.repo, self.base.root, self.base.size, CHUNK)
        self.check(self.old, 1024)
        source = volumes.MemorySource(self.old, [], UNCHANGED)
        self.check(self.old, 1024, source, (0, 4 * LEAF))

    def test_damaged_top_that_nobody_knows_of(self):
        self.damage(self.base.root)
        self.base = tree.Tree(self.repo, self.base.root, self.base.size, CHUNK)
        named = [(LEAF, 5, DATA)]
        source = volumes.MemorySource(self.old, named, UNCHANGED)
        self.check(self.old, 1024, source)


class StopTest(volumes.EngineTestCase):
    def test_cancelled_in_the_middle(self):
        source = volumes.MemorySource(noise(4 * LEAF))
        source.before_read = lambda: (
            len(source.read) > 3 and self.control.cancel('not needed')
        )
        error = self.assertRaises(control.JobStopped, self.back_up, source)
        self.assertEqual('not needed', error.reason)
        self.assertLess(source.bytes_read, source.size)

    def test_lease_that_ends_stops_reading(self):
        now = [0.0]
        self.control = control.Control(1.0, clock=lambda: now[0])
        source = volumes.MemorySource(noise(4 * LEAF))

        def before_read():
            now[0] += 0.3

        source.before_read = before_read
        self.assertRaises(control.LeaseLost, self.back_up, source)
        self.assertLess(len(source.read), 6)

    def test_cancelled_while_throttled(self):
        self.control = control.Control(limiter=throttle.Limiter(1))
        source = volumes.MemorySource(noise(4 * LEAF))
        reading = threading.Event()
        source.before_read = reading.set
        stopper = threading.Thread(
            target=lambda: (reading.wait(), self.control.cancel('enough'))
        )
        stopper.start()
        self.addCleanup(stopper.join)
        self.assertRaises(control.JobStopped, self.back_up, source)

    def test_failing_source_is_what_is_raised(self):
        source = volumes.MemorySource(noise(4 * LEAF))

        def fail():
            if len(source.read) > 2:
                raise errors.SourceUnavailable('the LUN is gone')

        source.before_read = fail
        error = self.assertRaises(
            errors.SourceUnavailable, self.back_up, source
        )
        self.assertEqual('the LUN is gone', str(error))

    def test_what_a_failed_backup_wrote_can_be_discarded(self):
        empty = self.repo.usage().used
        source = volumes.MemorySource(noise(4 * LEAF))
        source.before_read = lambda: (
            len(source.read) > 14 and self.control.cancel('not needed')
        )
        self.assertRaises(control.JobStopped, self.back_up, source)
        self.assertGreater(self.session.counters.packs, 0)
        self.session.close()
        discard.discard(self.repo.storage, self.session.id, str(uuid.uuid4()))
        self.assertEqual(empty, self.repo.usage().used)

    def test_rate_is_limited(self):
        self.control = control.Control(limiter=throttle.Limiter(2 * LEAF))
        before = time.monotonic()
        self.back_up(bytes(LEAF))
        # The last read doesn't wait for what it takes itself.
        self.assertGreater(time.monotonic() - before, 0.3)


class ResumeTest(volumes.EngineTestCase):
    """Stages of one leaf; a run that ends anywhere, and the next one."""

    def setUp(self):
        super().setUp()
        self.checkpoints = []
        self.session_id = str(uuid.uuid4())

    def run_once(self, source, base=None, stage_size=LEAF):
        """From the last checkpoint on; it leaves its own."""
        try:
            return self.back_up(
                source,
                base,
                session_id=self.session_id,
                begun=self.checkpoints[-1] if self.checkpoints else None,
                checkpointed=self.checkpoints.append,
                stage_size=stage_size,
            )
        finally:
            self.session.close()
            # All runs make the same image.
            self.generation -= 1

    def interrupted(self, source, reads, **arguments):
        """A run that is cancelled after so many reads; whether it was."""
        self.control = control.Control()
        left = [reads]

        def count_down():
            if not left[0]:
                self.control.cancel('by the test')
            left[0] -= 1

        source.before_read = count_down
        try:
            self.run_once(source, **arguments)
        except control.JobStopped:
            return True
        finally:
            source.before_read = lambda: None
            self.control = control.Control()
        return False

    def test_checkpoint_after_each_stage_but_the_last(self):
        self.run_once(noise(4 * LEAF + 5))
        self.assertEqual([1, 2, 3, 4], [c.leaf for c in self.checkpoints])
        self.assertEqual(
            [LEAF * n for n in (1, 2, 3, 4)],
            [c.total['bytes_read'] for c in self.checkpoints],
        )

    def test_small_volume_has_no_checkpoint(self):
        self.run_once(noise(4 * LEAF), stage_size=4 * LEAF)
        self.assertEqual([], self.checkpoints)

    def test_goes_on_from_every_checkpoint(self):
        content = noise(4 * LEAF + 5)
        self.run_once(content)
        for checkpoint in [*self.checkpoints]:
            self.checkpoints = [checkpoint]
            source = volumes.MemorySource(content)
            image, result = self.run_once(source)
            self.assertHolds(content, image)
            self.assertEqual(
                len(content) - checkpoint.leaf * LEAF, source.bytes_read
            )
            self.assertEqual(len(content), result.statistics['bytes_read'])
            self.assertEqual(
                5 + 4 * 256 - 4, result.statistics['chunks_total']
            )
            self.assertEqual(4 * 256 + 1, result.statistics['chunks_stored'])

    def test_interrupted_anywhere_reads_a_stage_again_at_most(self):
        content = noise(3 * LEAF + 5)
        interrupted = 0
        for reads in range(14):
            self.session_id = str(uuid.uuid4())
            self.checkpoints = []
            source = volumes.MemorySource(content)
            stopped = self.interrupted(source, reads)
            image, _ = self.run_once(source)
            self.assertHolds(content, image)
            self.assertLessEqual(source.bytes_read, len(content) + LEAF)
            interrupted += stopped
        self.assertLess(10, interrupted)

    def test_incremental_goes_on_with_its_base(self):
        content = bytearray(noise(4 * LEAF))
        base, _ = self.back_up(bytes(content))
        for number in (0, 300, 700, 1000):
            content[number * CHUNK] ^= 1
        named = [(0, LEAF, DATA), (LEAF + 7, 3 * LEAF - 7, DATA)]
        for gaps in (HOLE, UNCHANGED):
            for reads in (3, 9):
                self.session_id = str(uuid.uuid4())
                self.checkpoints = []
                source = volumes.MemorySource(bytes(content), named, gaps)
                self.assertTrue(self.interrupted(source, reads, base=base))
                image, result = self.run_once(source, base)
                self.assertHolds(bytes(content), image)
                self.assertEqual(4, result.statistics['chunks_stored'])

    def test_interrupted_again_and_again(self):
        content = noise(6 * LEAF + 5)
        source = volumes.MemorySource(content)
        runs = 1
        while self.interrupted(source, 6):
            runs += 1
        self.assertLess(3, runs)
        self.checkpoints = self.checkpoints[-1:]
        image, result = self.run_once(source)
        self.assertHolds(content, image)
        self.assertEqual(len(content), result.statistics['bytes_read'])
        self.assertEqual(100, self.progress.snapshot()['percent'])

    def test_storage_that_fails_at_a_checkpoint(self):
        content = noise(3 * LEAF)
        source = volumes.MemorySource(content)
        with fixtures.MockPatchObject(
            self.repo.storage,
            'create',
            side_effect=repository_errors.StorageUnavailable('away'),
        ):
            self.assertRaises(
                repository_errors.StorageUnavailable, self.run_once, source
            )
        self.assertEqual([], self.checkpoints)
        image, _ = self.run_once(source)
        self.assertHolds(content, image)


class ProgressTest(volumes.EngineTestCase):
    def test_grows_while_the_job_runs(self):
        source = volumes.MemorySource(noise(2 * LEAF))
        seen = []
        source.before_read = lambda: seen.append(
            self.progress.snapshot()['bytes_done']
        )
        self.back_up(source)
        self.assertEqual(sorted(seen), seen)
        self.assertGreater(len(set(seen)), 3)
