# SPDX-License-Identifier: Apache-2.0
"""tools/bench measures; what it measured is looked at by people."""

import json
import os
import pathlib
import signal
import subprocess

import fixtures

from tests import base
from tests.benchmarks import process
from tests.benchmarks import sparse
from tests.benchmarks import table
from tests.functional import lab

BENCH = lab.TREE / 'tools/bench'


class BenchTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        if lab.current().profile != 'default':
            self.skipTest('it has no use for a lab; once is enough')

    def bench(self, *arguments: object) -> str:
        return subprocess.check_output(
            [BENCH, *map(str, arguments)], text=True
        )

    def test_list_names_what_can_be_run(self) -> None:
        listed = self.bench('list')
        for name in (
            *('full', 'unchanged', 'changed-1pct', 'restore', 'gc-100'),
            *('rbd-4g', 'rbd-256g', 'rbd-restore'),
            *('rbd-full', 'rbd-apart', 'rbd-random'),
            *('ceph-full', 'ceph-incremental', 'ceph-restore'),
            *('ceph-plain-full', 'ceph-plain-restore'),
        ):
            self.assertIn(name, listed.split())

    def test_figures_of_a_run(self) -> None:
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = directory / 'figures.json'
        printed = self.bench(
            *('run', 'unchanged', '--size', 1, '--rounds', 1),
            *('--dir', directory, '--json', file),
        )
        self.assertIn('unchanged: second backup, nothing changed', printed)
        measured = json.loads(file.read_text())
        self.assertEqual(['unchanged'], list(measured))
        found = measured['unchanged']
        figures = found['figures']
        self.assertEqual(1 << 30, figures['volume_bytes'])
        self.assertEqual(0, figures['engine']['chunks_changed'])
        self.assertLess(0, figures['engine']['bytes_read'])
        for seconds in 'wall_seconds', 'cpu_seconds':
            self.assertLess(0, figures[seconds])
        self.assertLess(0, found['peers']['kernels']['cpu_seconds'])
        ratio = found['ratios']['kernels']['cpu_seconds_to_kernels']
        self.assertEqual([ratio['median']], ratio['rounds'])
        self.assertLess(0, ratio['median'])


class FamilyTest(base.BaseTestCase):
    """Processes that are watched, and end meanwhile."""

    def started(self, script: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            ['/bin/sh', '-c', script], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child

    def test_descendants(self) -> None:
        child = self.started('sleep 600 & echo $!; wait')
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        self.addCleanup(os.kill, grandchild, signal.SIGKILL)
        self.assertEqual([child.pid, grandchild], process.family(child.pid))

    def test_process_that_ends_between_two_looks(self) -> None:
        child = self.started('exec sleep 600')
        real = os.listdir

        def listdir(path: str) -> list[str]:
            found = real(path)
            child.kill()
            child.wait()
            return found

        self.useFixture(
            fixtures.MockPatchObject(process.os, 'listdir', listdir)
        )
        self.assertEqual([child.pid], process.family(child.pid))
        # By now there is nothing to list, either.
        self.assertEqual([child.pid], process.family(child.pid))
        self.assertEqual(0, process.anonymous(child.pid))


class TableTest(base.BaseTestCase):
    def test_rows_of_ours_of_peers_and_of_what_they_come_to(self) -> None:
        ratio = {'wall_seconds': {'median': 0.5, 'rounds': [0.5]}}
        lines = table.table(
            {
                'rbd-full': {
                    'title': 'a title',
                    'rounds': 1,
                    'figures': {'wall_seconds': 2.0, 'cpu_seconds': 1.0},
                    'peers': {
                        'rbd export': {'wall_seconds': 1.0, 'cpu_seconds': 1.0}
                    },
                    'ratios': {
                        'ours': {},
                        'rbd export': ratio,
                        'slower of both': ratio,
                    },
                }
            }
        ).splitlines()
        self.assertEqual(
            ['wall', 's', 'CPU', 's', 'wall', 'x'], lines[1].split()
        )
        self.assertEqual(
            [
                ['ours', '2.00', '1.00', '-'],
                ['rbd', 'export', '1.00', '1.00', '0.50'],
                ['slower', 'of', 'both', '-', '-', '0.50'],
            ],
            [line.split() for line in lines[2:]],
        )


class PiecesTest(base.BaseTestCase):
    def test_same_seed_same_bytes(self) -> None:
        """What was written can be compared with, and is not kept."""
        ranges = [(0, (1 << 20) + 5), (7 << 20, 3)]
        made = list(sparse.pieces(1, ranges))
        self.assertEqual(made, list(sparse.pieces(1, ranges)))
        self.assertNotEqual(made, list(sparse.pieces(2, ranges)))
        self.assertEqual(
            [(0, 1 << 20), (1 << 20, 5), (7 << 20, 3)],
            [(offset, len(content)) for offset, content in made],
        )
