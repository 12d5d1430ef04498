# SPDX-License-Identifier: Apache-2.0
"""Backups that end early, and those that go on from there."""

import contextlib
import threading
import time
import uuid

import fixtures

from ebackup_service.engine import control
from ebackup_service.engine import progress
from ebackup_service.engine import restore
from ebackup_service.engine import throttle
from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.repository import discard
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import repository
from ebackup_service.repository.storage import registry
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
DATA, HOLE, UNCHANGED = volumes.DATA, volumes.HOLE, volumes.UNCHANGED


class StopTest(volumes.EngineTestCase):
    def test_cancelled_in_the_middle(self):
        source = volumes.MemorySource(volumes.noise(4 * LEAF))
        source.before_read = lambda: (
            len(source.reads) > 3 and self.control.cancel('not needed')
        )
        error = self.assertRaises(control.JobStopped, self.back_up, source)
        self.assertEqual('not needed', error.reason)
        self.assertLess(source.bytes_read, source.size)

    def test_lease_that_ends_stops_reading(self):
        now = [0.0]
        self.control = control.Control(1.0, clock=lambda: now[0])
        source = volumes.MemorySource(volumes.noise(4 * LEAF))

        def before_read():
            now[0] += 0.3

        source.before_read = before_read
        self.assertRaises(control.LeaseLost, self.back_up, source)
        self.assertLess(len(source.reads), 6)

    def test_cancelled_while_throttled(self):
        self.control = control.Control(limiter=throttle.Limiter(1))
        source = volumes.MemorySource(volumes.noise(4 * LEAF))
        reading = threading.Event()
        source.before_read = reading.set
        stopper = threading.Thread(
            target=lambda: (reading.wait(), self.control.cancel('enough'))
        )
        stopper.start()
        self.addCleanup(stopper.join)
        self.assertRaises(control.JobStopped, self.back_up, source)

    def test_failing_source_is_what_is_raised(self):
        source = volumes.MemorySource(volumes.noise(4 * LEAF))

        def fail():
            if len(source.reads) > 2:
                raise errors.SourceUnavailable('the LUN is gone')

        source.before_read = fail
        error = self.assertRaises(
            errors.SourceUnavailable, self.back_up, source
        )
        self.assertEqual('the LUN is gone', str(error))

    def test_what_a_failed_backup_wrote_can_be_discarded(self):
        empty = self.repo.usage().used
        source = volumes.MemorySource(volumes.noise(4 * LEAF))
        source.before_read = lambda: (
            len(source.reads) > 14 and self.control.cancel('not needed')
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
        self.run_once(volumes.noise(4 * LEAF + 5))
        self.assertEqual([1, 2, 3, 4], [c.leaf for c in self.checkpoints])
        self.assertEqual(
            [LEAF * n for n in (1, 2, 3, 4)],
            [c.total['bytes_read'] for c in self.checkpoints],
        )

    def test_only_what_is_confirmed_counts(self):
        """What is read of each stage before its checkpoint; all at the end."""
        for stage in range(4):
            self.session_id = str(uuid.uuid4())
            self.checkpoints = []
            source = volumes.MemorySource(volumes.noise(4 * LEAF))
            read = []

            def confirm(source=source, read=read, stage=stage):
                read.append(source.bytes_read)
                if len(read) > stage:
                    raise errors.SnapshotUnknown('somebody removed it')

            source.confirm = confirm
            self.assertRaises(errors.SnapshotUnknown, self.run_once, source)
            self.assertEqual(
                [*range(1, stage + 1)], [c.leaf for c in self.checkpoints]
            )
            for number, bytes_read in enumerate(read, 1):
                self.assertGreaterEqual(bytes_read, number * LEAF)

    def test_small_volume_has_no_checkpoint(self):
        self.run_once(volumes.noise(4 * LEAF), stage_size=4 * LEAF)
        self.assertEqual([], self.checkpoints)

    def test_goes_on_from_every_checkpoint(self):
        content = volumes.noise(4 * LEAF + 5)
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

    def test_interrupted_anywhere_reads_little_again(self):
        """A stage, and a leaf for each of two workers."""
        content = volumes.noise(7 * LEAF + 5)
        interrupted = 0
        for reads in range(30):
            self.session_id = str(uuid.uuid4())
            self.checkpoints = []
            source = volumes.MemorySource(content)
            stopped = self.interrupted(source, reads)
            image, _ = self.run_once(source)
            self.assertHolds(content, image)
            self.assertLessEqual(source.bytes_read, len(content) + 3 * LEAF)
            interrupted += stopped
        self.assertLess(24, interrupted)

    def test_incremental_goes_on_with_its_base(self):
        content = bytearray(volumes.noise(4 * LEAF))
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
        content = volumes.noise(16 * LEAF + 5)
        source = volumes.MemorySource(content)
        runs = 1
        # As many as there can be before there is a checkpoint, and one more.
        while self.interrupted(source, 13):
            runs += 1
        self.assertLess(3, runs)
        self.checkpoints = self.checkpoints[-1:]
        image, result = self.run_once(source)
        self.assertHolds(content, image)
        self.assertEqual(len(content), result.statistics['bytes_read'])
        self.assertEqual(100, self.progress.snapshot()['percent'])

    def test_winds_down_at_a_checkpoint(self):
        content = volumes.noise(4 * LEAF + 5)
        for reads in (1, 5, 8):
            self.session_id = str(uuid.uuid4())
            self.checkpoints = []
            self.control = control.Control()
            source = volumes.MemorySource(content)
            source.before_read = lambda reads=reads, source=source: (
                len(source.reads) >= reads
                and self.control.wind_down('the proxy stops')
            )
            error = self.assertRaises(
                control.JobStopped,
                self.run_once,
                source,
                stage_size=len(content),
            )
            self.assertEqual('the proxy stops', error.reason)
            (reached,) = self.checkpoints
            self.assertEqual(reached.leaf * LEAF, source.bytes_read)
            self.assertEqual(reached.leaf * LEAF, reached.total['bytes_read'])
            self.control = control.Control()
            rest = volumes.MemorySource(content)
            image, _ = self.run_once(rest)
            self.assertHolds(content, image)
            self.assertEqual(len(content), source.bytes_read + rest.bytes_read)

    def test_winds_down_too_late_to_stop(self):
        content = volumes.noise(2 * LEAF + 5)
        source = volumes.MemorySource(content)
        source.before_read = lambda: (
            source.bytes_read >= 2 * LEAF and self.control.wind_down('late')
        )
        image, _ = self.run_once(source, stage_size=3 * LEAF)
        self.assertHolds(content, image)
        self.assertEqual([], self.checkpoints)

    def test_storage_that_fails_at_a_checkpoint(self):
        content = volumes.noise(3 * LEAF)
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


class AheadTest(volumes.EngineTestCase):
    """One worker goes on to the next stage, while another one can't."""

    # No pack gets full.
    PACK_SIZE = 16 * LEAF

    def setUp(self):
        super().setUp()
        self.reached = []
        self.told = threading.Event()

    def back_up_ahead(self, content, before=lambda: None):
        """Leaf 1, the last of stage 0, is read when all of leaf 2 was.

        Leaf 0, when another worker is at leaf 1: who has read leaf 0 goes on.
        Leaf 3, when there was a checkpoint: workers flush when they end.

        :param before: called before leaf 1 is read
        """
        source = volumes.MemorySource(content)
        behind, ahead = threading.Event(), threading.Event()
        whole = source.read

        def read(offset, buffer):
            if offset // LEAF == 0 and not behind.wait(60):
                raise errors.SourceUnavailable('nobody is at leaf 1')
            if offset // LEAF == 1:
                behind.set()
                if not ahead.wait(60):
                    raise errors.SourceUnavailable('nobody went on')
            if offset == LEAF:
                before()
            if offset // LEAF == 3 and not self.told.wait(60):
                raise errors.SourceUnavailable('there was no checkpoint')
            found = whole(offset, buffer)
            if offset + len(buffer) == 3 * LEAF:
                # What was read is stored before this worker waits.
                threading.Timer(0.2, ahead.set).start()
            return found

        source.read = read
        return self.back_up(
            source, checkpointed=self.checkpointed, stage_size=2 * LEAF
        )

    def checkpointed(self, checkpoint):
        """Read all that it names, with nothing but what is durable."""
        try:
            self.reached.append((checkpoint, self.durable(checkpoint.tree)))
        finally:
            self.told.set()

    def durable(self, where):
        repo = repository.Repository.open(
            registry.open_storage(f'file://{self.directory}')
        )
        with contextlib.closing(repo):
            image = tree.Tree(repo, where, self.size, CHUNK)
            target = volumes.MemoryTarget(bytes(self.size), truncated=True)
            restore.run_restore(
                repo,
                image,
                target,
                False,
                1,
                self.control,
                progress.Progress(self.size),
            )
        return bytes(target.content)

    def test_checkpoint_has_nothing_of_the_next_stage(self):
        content = volumes.noise(6 * LEAF)
        self.size = len(content)
        image, _ = self.back_up_ahead(content)
        self.assertHolds(content, image)
        checkpoint, held = self.reached[0]
        self.assertEqual([2, 4], [told.leaf for told, _ in self.reached])
        self.assertEqual(content[: 2 * LEAF] + bytes(4 * LEAF), held)
        self.assertEqual(2 * LEAF, checkpoint.total['bytes_read'])
        self.assertEqual(512, checkpoint.total['chunks_stored'])
        self.assertEqual(2 * LEAF, checkpoint.total['done'])

    def test_what_the_next_stage_has_stored_is_not_referred_to(self):
        same = volumes.noise(LEAF, 3)
        content = volumes.noise(LEAF) + 2 * same + volumes.noise(3 * LEAF, 2)
        self.size = len(content)
        image, result = self.back_up_ahead(content)
        self.assertHolds(content, image)
        _, held = self.reached[0]
        self.assertEqual(content[: 2 * LEAF] + bytes(4 * LEAF), held)
        self.assertEqual(6 * 256, result.statistics['chunks_stored'])

    def test_pack_that_fails_where_a_stage_ends(self):
        """Whoever has handed it over doesn't look until it has to wait."""
        create = self.repo.storage.create
        failures = ['away']

        def fail_once(key, parts):
            if failures:
                raise repository_errors.StorageUnavailable(failures.pop())
            create(key, parts)

        with fixtures.MockPatchObject(self.repo.storage, 'create', fail_once):
            self.assertRaises(
                repository_errors.StorageUnavailable,
                self.back_up_ahead,
                volumes.noise(6 * LEAF),
            )
        self.session.close()
        self.assertEqual([], self.reached)

    def test_cancelled_while_a_worker_waits_for_its_turn(self):
        error = self.assertRaises(
            control.JobStopped,
            self.back_up_ahead,
            volumes.noise(6 * LEAF),
            lambda: self.control.cancel('by the test'),
        )
        self.assertEqual('by the test', error.reason)
        self.assertEqual([], self.reached)

    def test_checkpoint_that_is_refused(self):
        def refuse(checkpoint):
            self.told.set()
            raise ZeroDivisionError('refused')

        self.checkpointed = refuse
        self.assertRaises(
            ZeroDivisionError, self.back_up_ahead, volumes.noise(6 * LEAF)
        )

    def test_extents_that_fail_late(self):
        source = volumes.MemorySource(volumes.noise(6 * LEAF))

        def extents():
            yield production.Extent(0, 3 * LEAF, DATA)
            raise errors.SourceUnavailable('the LUN is gone')

        source.extents = extents
        error = self.assertRaises(
            errors.SourceUnavailable,
            self.back_up,
            source,
            checkpointed=self.reached.append,
            stage_size=LEAF,
        )
        self.assertEqual('the LUN is gone', str(error))
