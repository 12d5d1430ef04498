# SPDX-License-Identifier: Apache-2.0
"""What tools/lab torture decides, and what it takes for a difference."""

from collections.abc import Callable
import random
import threading
import time
from typing import Any
from unittest import mock

from tests.functional import test_lab_program

MIB = 1 << 20


class TortureTestCase(test_lab_program.LabLibraryTestCase):
    """Imports from tools/lablib/torture."""

    def setUp(self) -> None:
        super().setUp()
        from lablib import sparse
        from lablib.torture import content
        from lablib.torture import model
        from lablib.torture import plan
        from lablib.torture import tally

        self.content, self.model, self.sparse = content, model, sparse
        self.plan, self.tally = plan, tally


class TestPlan(TortureTestCase):
    """The seed chooses what happens."""

    def rounds(
        self, seed: int, profile: str = 'processes', count: int = 300
    ) -> list:
        return [
            self.plan.choose(seed, n, profile) for n in range(1, count + 1)
        ]

    def test_same_seed_chooses_the_same(self) -> None:
        self.assertEqual(self.rounds(7), self.rounds(7))
        self.assertNotEqual(self.rounds(7), self.rounds(8))

    def test_a_round_does_not_depend_on_those_before(self) -> None:
        alone = self.plan.choose(7, 101, 'processes')
        self.assertEqual(self.rounds(7)[100], alone)

    def test_everything_comes(self) -> None:
        for profile, subjects in self.plan.FAULTS.items():
            rounds = self.rounds(1, profile)
            kinds = {one.kind for r in rounds for one in r.operations}
            self.assertEqual(set(self.plan.OPERATIONS), kinds)
            faults = {
                (r.fault.verb, r.fault.subject) for r in rounds if r.fault
            }
            wanted = {
                (verb, subject)
                for subject, verbs in subjects.items()
                for verb in verbs
            }
            self.assertEqual(wanted, faults)
            self.assertIn(None, [r.fault for r in rounds])
            self.assertEqual({1, 2}, {len(r.operations) for r in rounds})

    def test_services_are_those_of_the_lab(self) -> None:
        from lablib import lab
        from lablib import service

        for profile, subjects in self.plan.FAULTS.items():
            made = lab.Lab(self.run_directory / profile)
            made.create(profile)
            made.settings.proxies = 2
            (made.etc / 'ebackup.d').mkdir()
            (made.etc / 'ceph').mkdir()
            known = {one.name for one in service.services(made)}
            self.assertLessEqual(set(subjects) - {'snapshot'}, known)

    def test_a_proxy_stands_still_for_less_than_a_lease_and_for_more(
        self,
    ) -> None:
        seconds = [
            r.fault.away
            for r in self.rounds(1, count=1000)
            if r.fault
            and r.fault.verb == 'pause'
            and r.fault.subject.startswith('ebackup-proxy')
        ]
        self.assertLess(5, sum(away < 6 for away in seconds))
        # The lease, the margin, and the time for a job elsewhere.
        self.assertLess(10, sum(away > 14 for away in seconds))

    def test_others_come_back_soon(self) -> None:
        for profile in self.plan.FAULTS:
            for fault in (r.fault for r in self.rounds(1, profile)):
                if fault and not (
                    fault.verb == 'pause'
                    and fault.subject.startswith('ebackup-')
                ):
                    self.assertLess(fault.away, 3)

    def test_volumes_are_exported_and_attached(self) -> None:
        exported = [r.exported for r in self.rounds(1)]
        self.assertLess(50, exported.count(False))
        self.assertLess(150, exported.count(True))

    def test_seed_chooses_how_often_backups_leave_a_checkpoint(self) -> None:
        sizes = [self.plan.checkpoint_size(seed) for seed in range(50)]
        self.assertEqual(
            sizes, [self.plan.checkpoint_size(seed) for seed in range(50)]
        )
        leaf = 256 * (128 << 10)
        self.assertEqual(
            {1, 3, 7},
            {max(size // leaf - self.plan.WORKERS, 1) for size in sizes},
        )

    def test_every_operation_is_known(self) -> None:
        from lablib.torture import operations

        self.assertEqual(set(self.plan.OPERATIONS), set(operations.KINDS))


class TestModel(TortureTestCase):
    """Operations meet what there is."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.model.Model()
        self.there.volumes = [self.model.Volume(f'v{n}') for n in range(3)]

    def fill(self, count: int) -> None:
        self.there.backups = [
            self.model.Backup(f'b{n}', 'v0', '') for n in range(count)
        ]

    def assign(self, *wanted: tuple[str, float, float]) -> list[tuple]:
        operations = [self.plan.Operation(*one, seed=0) for one in wanted]
        return [
            (
                task.kind,
                task.volume and task.volume.id,
                task.backup and task.backup.id,
            )
            for task in self.there.assign(operations)
        ]

    def test_fractions_choose_among_what_there_is(self) -> None:
        self.fill(4)
        self.assertEqual(
            [('backup', 'v0', None)], self.assign(('backup', 0.0, 0.9))
        )
        self.assertEqual(
            [('restore-over', 'v2', 'b1')],
            self.assign(('restore-over', 0.49, 0.999)),
        )
        self.assertEqual(
            [('delete', None, 'b3')], self.assign(('delete', 0.999, 0.0))
        )

    def test_nothing_is_touched_by_two(self) -> None:
        self.fill(2)
        self.assertEqual(
            [('restore-over', 'v0', 'b0'), ('backup', 'v1', None)],
            self.assign(('restore-over', 0.0, 0.0), ('backup', 0.0, 0.0)),
        )
        self.assertEqual(
            [('delete', None, 'b0'), ('restore-new', None, 'b1')],
            self.assign(('delete', 0.0, 0.0), ('restore-new', 0.0, 0.0)),
        )

    def test_without_a_backup_one_is_made(self) -> None:
        for kind in 'delete', 'restore-new', 'restore-over':
            self.assertEqual(
                [('backup', 'v1', None)], self.assign((kind, 0.5, 0.0))
            )

    def test_one_backup_too_many_is_deleted(self) -> None:
        self.fill(self.model.MOST)
        self.assertEqual(
            [('delete', None, 'b0')], self.assign(('snapshot', 0.0, 0.0))
        )

    def test_nothing_left_to_do_it_to(self) -> None:
        del self.there.volumes[1:]
        self.assertEqual(
            [('backup', 'v0', None)],
            self.assign(('backup', 0.0, 0.0), ('cancel', 0.0, 0.0)),
        )
        self.assertEqual(
            [('check', None, None)],
            self.assign(('check', 0.0, 0.0), ('check', 0.0, 0.0)),
        )

    def test_every_other_restore_is_in_place(self) -> None:
        self.there.backups = [self.model.Backup('b0', 'v1', '')]
        for fraction, volume in ((0.0, 'v1'), (0.49, 'v1'), (0.999, 'v2')):
            self.assertEqual(
                [('restore-over', volume, 'b0')],
                self.assign(('restore-over', 0.0, fraction)),
            )

    def test_restore_needs_a_volume_that_is_large_enough(self) -> None:
        self.there.backups = [self.model.Backup('b0', 'gone', '', 2)]
        self.assertEqual(
            [('restore-new', None, 'b0')],
            self.assign(('restore-over', 0.0, 0.9)),
        )
        self.there.volumes[1].size = 2
        self.assertEqual(
            [('restore-over', 'v1', 'b0')],
            self.assign(('restore-over', 0.0, 0.9)),
        )

    def test_what_is_large_enough_does_not_grow(self) -> None:
        self.there.volumes[0].size = self.model.LARGEST
        self.assertEqual(
            [('backup', 'v0', None), ('grow', 'v1', None)],
            self.assign(('grow', 0.0, 0.0), ('grow', 0.0, 0.0)),
        )

    def test_restore_over_no_volume_is_one_to_a_new_one(self) -> None:
        del self.there.volumes[1:]
        self.fill(1)
        self.assertEqual(
            [('backup', 'v0', None), ('restore-new', None, 'b0')],
            self.assign(('backup', 0.0, 0.0), ('restore-over', 0.0, 0.0)),
        )


class TestContent(TortureTestCase):
    """Volumes are compared by all of their bytes."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.run_directory / 'volume'
        with self.path.open('wb') as file:
            file.truncate(64 * MIB)

    def put(self, offset: int, data: bytes) -> str:
        with self.path.open('r+b') as file:
            file.seek(offset)
            file.write(data)
        return self.sparse.digest(self.path)

    def test_every_byte_counts_and_its_place(self) -> None:
        found = {
            self.sparse.digest(self.path),
            self.put(64 * MIB - 1, b'x'),
            self.put(64 * MIB - 1, b'\0') and self.put(0, b'x'),
            self.put(1, b'x'),
            self.put(5 * MIB, b'x'),
        }
        self.assertEqual(5, len(found))

    def test_size_counts(self) -> None:
        before = self.sparse.digest(self.path)
        with self.path.open('r+b') as file:
            file.truncate(65 * MIB)
        self.assertNotEqual(before, self.sparse.digest(self.path))

    def test_written_zeros_are_like_holes(self) -> None:
        before = self.sparse.digest(self.path)
        self.assertEqual(before, self.put(3 * MIB - 5, bytes(2 * MIB)))

    def test_beginning_counts_like_a_shorter_file(self) -> None:
        self.put(5 * MIB, b'x')
        part = self.sparse.digest(self.path, 0, 60 * MIB)
        self.put(60 * MIB, b'x')
        self.assertEqual(part, self.sparse.digest(self.path, 0, 60 * MIB))
        with self.path.open('r+b') as file:
            file.truncate(60 * MIB)
        self.assertEqual(part, self.sparse.digest(self.path))

    def test_of_a_part_nothing_else_counts(self) -> None:
        def part() -> str:
            return self.sparse.digest(self.path, 32 * MIB, 64 * MIB)

        before = part()
        self.put(32 * MIB - 1, b'x')
        self.assertEqual(before, part())
        self.put(32 * MIB, b'x')
        self.assertNotEqual(before, part())

    def test_zeros_are_those_of_a_hole(self) -> None:
        self.assertEqual(
            self.sparse.digest(self.path, 32 * MIB, 64 * MIB),
            self.sparse.digest_zeros(32 * MIB),
        )

    def test_only_plain_files_are_emptied_before_a_restore(self) -> None:
        from lablib.torture import restores

        def behind(outcome: str, in_file: bool) -> set[str]:
            volume = self.model.Volume('v', in_file=in_file)
            return restores.behind(volume, MIB, 'before', outcome)

        zeros = self.sparse.digest_zeros(MIB)
        self.assertEqual({'before'}, behind('succeeded', False))
        self.assertEqual({'before'}, behind('failed', False))
        self.assertEqual({zeros}, behind('succeeded', True))
        self.assertEqual({zeros, 'before'}, behind('failed', True))

    def test_pieces_stay_inside_and_repeat_themselves(self) -> None:
        begin, end = 24 * MIB, 64 * MIB
        for seed in range(50):
            pieces, again = (
                list(self.content.pieces(random.Random(seed), begin, end))
                for _ in range(2)
            )
            self.assertEqual(pieces, again)
            for offset, data in pieces:
                self.assertLessEqual(begin, offset)
                self.assertLessEqual(offset + len(data), end)

    def test_marks_are_everywhere_and_repeat_themselves(self) -> None:
        end = 256 * MIB
        marks, again = (
            list(self.content.marks(random.Random(1), end)) for _ in range(2)
        )
        self.assertEqual(marks, again)
        self.assertEqual(
            [*range(8)], [offset // (32 * MIB) for offset, _ in marks]
        )
        self.assertTrue(all(all(data) for _, data in marks))


class TestOperation(TortureTestCase):
    """What Cinder waits for in vain is told from what is stuck."""

    def setUp(self) -> None:
        super().setUp()
        from lablib.torture import cloud
        from lablib.torture import operation

        self.cloud, self.operation = cloud, operation
        self.calm = threading.Event()
        self.looks = 0
        limits = {'_LOST': 0.0, '_STUCK': 0.2}
        patcher = mock.patch.multiple(operation, **limits)
        patcher.start()
        self.addCleanup(patcher.stop)

    def status(self, kind: str, resource: str) -> str:
        self.looks += 1
        if self.looks == 5:
            self.calm.set()
        return 'creating'

    def ended(self, service: str | None, *states: str) -> str:
        fault = service and self.plan.Fault('kill', service, 0.0, 0.0)
        chosen = self.plan.Operation('backup', 0.0, 0.0, 0)
        cloud = mock.Mock(status=self.status, pause=lambda: time.sleep(0.01))
        task = self.model.Task(chosen, 'backup')
        one = self.operation.Operation(cloud, None, task, fault, self.calm)
        jobs = [{'state': state} for state in states]
        self.assertIsNone(one._ended('backup', 'b', lambda: jobs))
        return one.outcome

    def test_what_never_became_a_job_is_lost(self) -> None:
        self.assertEqual('lost', self.ended(None))
        self.assertGreater(self.looks, 5)

    def test_what_cinder_could_not_record_is_stale(self) -> None:
        for service in 'mariadb', 'rabbitmq', 'cinder':
            self.assertEqual('stale', self.ended(service, 'succeeded'))

    def test_all_else_is_stuck(self) -> None:
        for service, state in (
            (None, 'succeeded'),
            ('ebackup-proxy', 'failed'),
            ('mariadb', 'running'),
        ):
            with self.assertRaisesRegex(self.cloud.Violation, 'is creating'):
                self.ended(service, state)


class TestCancel(TortureTestCase):
    """A backup that has just been made when it is deleted by force."""

    def outcome(self, *statuses: str | None) -> str:
        from lablib.torture import operations

        found = iter(statuses)
        cloud = mock.Mock(status=lambda *what: next(found), jobs=lambda _: [])
        volume = self.model.Volume('v')
        task = self.model.Task(
            self.plan.Operation('cancel', 0.0, 0.0, 0), 'cancel', volume=volume
        )
        calm = threading.Event()
        one = operations.Cancel(cloud, None, task, None, calm)
        one.wait()
        return one.outcome

    def test_it_goes_though_cinder_calls_it_available(self) -> None:
        self.assertEqual(
            'succeeded', self.outcome('available', 'deleting', None)
        )

    def test_it_stays(self) -> None:
        self.assertEqual('failed', self.outcome('error'))
        from lablib.torture import operations

        with mock.patch.object(operations, '_OVERTAKEN', 0.0):
            self.assertEqual('failed', self.outcome('available'))


class TestRestore(TortureTestCase):
    """When its job has ended only a tenant writes to the volume."""

    def setUp(self) -> None:
        super().setUp()
        from lablib.torture import cloud
        from lablib.torture import restores

        self.cloud = cloud
        self.path = self.run_directory / 'volumes/block/volume-v'
        self.path.parent.mkdir(parents=True)
        with self.path.open('wb') as file:
            file.truncate(1 << 30)
        self.restored = self.sparse.digest(self.path)
        self.status = 'available'
        self.jobs: list[dict[str, str]] = []
        backup = self.model.Backup('b', 'w', self.restored)
        task = self.model.Task(
            self.plan.Operation('restore-new', 0.0, 0.0, 0),
            'restore-new',
            backup=backup,
        )
        fake = mock.Mock(
            lab=mock.Mock(volumes=self.run_directory / 'volumes'),
            demo=lambda *what: {'restore': {'volume_id': 'v'}},
            status=lambda *what: self.status,
            jobs=lambda query: self.jobs,
        )
        self.restore = restores.Restore(
            fake, None, task, None, threading.Event()
        )
        self.restore.begin()

    def wait(self, *states: str) -> None:
        self.jobs = [
            {'id': str(number), 'state': state}
            for number, state in enumerate(states)
        ]
        self.restore.wait()

    def write(self) -> None:
        """What is there already."""
        before = self.path.stat().st_mtime_ns
        with self.path.open('r+b') as file:
            first = file.read(1)
            while self.path.stat().st_mtime_ns == before:
                file.seek(0)
                file.write(first)
                file.flush()

    def test_nobody_writes_after_the_tenant(self) -> None:
        self.wait('succeeded')
        self.assertNotEqual(self.restored, self.sparse.digest(self.path))
        self.restore._left_alone()

    def test_somebody_writes_after_the_tenant(self) -> None:
        self.wait('succeeded')
        self.write()
        with self.assertRaisesRegex(self.cloud.Violation, 'was written to'):
            self.restore._left_alone()

    def test_somebody_writes_though_it_failed(self) -> None:
        self.status = 'error_restoring'
        self.wait('failed')
        self.assertEqual(self.restored, self.sparse.digest(self.path))
        self.restore._left_alone()
        self.write()
        with self.assertRaisesRegex(self.cloud.Violation, 'was written to'):
            self.restore._left_alone()

    def test_as_long_as_a_job_goes_on_it_may_write(self) -> None:
        for states in (), ('failed', 'running'):
            self.wait(*states)
            self.write()
            self.restore._left_alone()
            self.assertEqual(self.restored, self.sparse.digest(self.path))

    def test_other_bytes_than_those_of_the_backup(self) -> None:
        with self.path.open('r+b') as file:
            file.write(b'x')
        with self.assertRaisesRegex(self.cloud.Violation, 'is not what'):
            self.wait('succeeded')


class TestRestoreOver(TortureTestCase):
    """A restore that goes on though Cinder has given its volume free."""

    def setUp(self) -> None:
        super().setUp()
        from lablib.torture import restores

        self.path = self.run_directory / 'volumes/block/volume-v'
        self.path.parent.mkdir(parents=True)
        with self.path.open('wb') as file:
            file.truncate(1 << 30)
        self.volume = self.model.Volume('v', self.sparse.digest(self.path))
        self.jobs: list[dict[str, Any]] = []
        fake = mock.Mock(
            lab=mock.Mock(volumes=self.run_directory / 'volumes'),
            demo=lambda *what: {'restore': {'volume_id': 'v'}},
            status=lambda kind, resource: (
                'available' if kind == 'backup' else 'error_restoring'
            ),
            jobs=lambda query: self.jobs,
            wait=self.wait,
        )
        task = self.model.Task(
            self.plan.Operation('restore-over', 0.0, 0.0, 0),
            'restore-over',
            volume=self.volume,
            backup=self.model.Backup('b', 'v', self.volume.digest),
        )
        self.restore = restores.RestoreOver(
            fake, None, task, None, threading.Event()
        )
        self.restore.begin()

    def wait(
        self, condition: Callable[[], Any], what: str, seconds: float
    ) -> None:
        """While somebody waits, the proxy writes, and then stops."""
        if not condition():
            with self.path.open('r+b') as file:
                file.write(b'x')
            self.jobs = [{**self.jobs[0], 'state': 'pending'}]
        self.assertTrue(condition())

    def settle(self, **job: Any) -> None:
        self.jobs = [{'id': 'j', 'state': 'running', 'exported': [], **job}]
        self.restore.wait()
        self.restore.settle()

    def is_written(self) -> bool:
        with self.path.open('rb') as file:
            return file.read(1) == b'x'

    def test_to_a_volume_that_a_proxy_has_from_cinder(self) -> None:
        self.settle(exported=[{'type': 'volume', 'id': 'v', 'proxy': 'p'}])
        self.assertTrue(self.is_written())
        self.assertEqual(self.sparse.digest(self.path), self.volume.digest)

    def test_to_an_image_in_ceph(self) -> None:
        self.volume.in_pool = True
        self.settle()
        self.assertTrue(self.is_written())

    def test_to_a_volume_with_the_drivers_lock(self) -> None:
        """There nobody waits: nothing is to be written any more."""
        self.settle()
        self.assertFalse(self.is_written())


class TestRemoveTemporary(TortureTestCase):
    """What Cinder forgets of a backup when it dies is Cinder's affair."""

    def setUp(self) -> None:
        super().setUp()
        from lablib.torture import cloud
        from lablib.torture import operation

        self.cloud, self.operation = cloud, operation
        self.calm = threading.Event()
        self.removed: list[tuple[str, str]] = []
        self.there = {
            'volume': [
                {'id': '1', 'name': 'backup-vol-v'},
                {'id': '2', 'name': 'backup-vol-w'},
                {'id': '3', 'name': None},
            ],
            'snapshot': [{'id': '4', 'name': 'backup-snap-v'}],
        }

    def wait(self, condition: Callable[[], Any], *_what: object) -> None:
        if not condition():
            raise self.cloud.Violation

    def remove_temporary(self, fault: object, outcome: str = '') -> list[str]:
        cloud = mock.Mock(
            listed=self.there.__getitem__,
            force_delete=lambda *what: self.removed.append(what),
            wait=self.wait,
        )
        chosen = self.plan.Operation('in-use', 0.0, 0.0, 0)
        task = self.model.Task(chosen, 'in-use')
        one = self.operation.Operation(cloud, None, task, fault, self.calm)
        one.outcome = outcome
        one._remove_temporary(self.model.Volume('v'))
        return one.notes

    def test_after_a_fault_of_cinder(self) -> None:
        notes = self.remove_temporary(self.plan.Fault('kill', 'cinder', 0, 0))
        self.assertEqual([('volume', '1'), ('snapshot', '4')], self.removed)
        self.assertEqual('Cinder had left volume 1 (backup-vol-v)', notes[0])

    def test_after_a_message_was_lost(self) -> None:
        self.remove_temporary(None, 'lost')
        self.assertEqual([('volume', '1'), ('snapshot', '4')], self.removed)

    def test_nothing_is_left(self) -> None:
        self.there = {'volume': [], 'snapshot': []}
        fault = self.plan.Fault('kill', 'cinder', 0, 0)
        self.assertEqual([], self.remove_temporary(fault))

    def test_after_all_else_it_stays_to_be_found(self) -> None:
        for fault in None, self.plan.Fault('kill', 'ebackup', 0, 0):
            self.assertEqual([], self.remove_temporary(fault))
        self.assertEqual([], self.removed)


class TestDamage(TortureTestCase):
    """Whatever a check finds counts."""

    def damage(self, result: object) -> dict:
        from lablib.torture import operations

        return operations.damage({'result': result})

    def test_check_that_finds_nothing(self) -> None:
        self.assertEqual({}, self.damage({'problems': [], 'images': 3}))
        self.assertEqual({}, self.damage(None))

    def test_check_that_finds_something(self) -> None:
        for kind in 'problems', 'damaged_images', 'damaged_chunks':
            found = {kind: ['x'], 'images': 3}
            self.assertEqual({kind: ['x']}, self.damage(found))


class TestTally(TortureTestCase):
    """What the rounds came to."""

    def setUp(self) -> None:
        super().setUp()
        self.task = self.model.Task(
            self.plan.Operation('delete', 0.0, 0.0, 0),
            'delete',
            backup=self.model.Backup('0123456789', 'v', ''),
        )
        self.found = self.tally.Tally(5, 20)

    def add(self, number: int, fault: object, outcome: str) -> str:
        from lablib.torture import operation

        chosen = self.plan.Round(number, (self.task.operation,), fault)
        one = operation.Operation(None, None, self.task, None, None)
        one.outcome = outcome
        self.found.add(chosen, [one])
        return self.found.line(chosen, [one], 3.21)

    def test_line_says_what_was_done_to_what(self) -> None:
        fault = self.plan.Fault('kill', 'mariadb', 0.5, 1.25)
        self.assertEqual(
            'round   7/20    3.2 s  delete 01234567 failed | '
            'kill mariadb after 0.5 s, for 1.2 s',
            self.add(7, fault, 'failed'),
        )

    def test_summary_counts(self) -> None:
        fault = self.plan.Fault('stop', 'rabbitmq', 0.0, 0.0)
        for number, outcome in enumerate(('lost', 'succeeded', 'succeeded')):
            self.add(number, fault if number else None, outcome)
        found = self.found.summary()
        self.assertEqual(
            {'delete': {'lost': 1, 'succeeded': 2}}, found['operations']
        )
        self.assertEqual({'stop rabbitmq': 2}, found['faults'])
        self.assertEqual((5, 3), (found['seed'], found['rounds']))
        self.assertIn('seed 5: 3 rounds', self.found.text())

    def test_text_has_every_violation(self) -> None:
        self.found.violations.append('backup 1 is gone')
        text = self.found.text()
        self.assertIn('VIOLATION backup 1 is gone', text)
        self.assertIn('FAILED', text)
