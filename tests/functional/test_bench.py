# SPDX-License-Identifier: Apache-2.0
"""tools/bench measures; what it measured is looked at by people."""

import json
import pathlib
import subprocess

import fixtures

from tests import base
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
        for name in 'full', 'unchanged', 'changed-1pct', 'restore', 'gc-100':
            self.assertIn(name, listed)

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
