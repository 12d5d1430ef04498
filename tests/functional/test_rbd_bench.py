# SPDX-License-Identifier: Apache-2.0
"""What tools/bench finds of images in Ceph, but for the time that it takes."""

import json
import pathlib
import subprocess

import fixtures

from tests import base
from tests.functional import lab

CHANGED = 40 << 20


class RbdBenchTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        if lab.current().profile != 'ceph':
            self.skipTest('where there is a lab with Ceph, there can be one')

    def test_bytes_that_are_read_and_written(self) -> None:
        """By what the engine counts, and by what the OSD does."""
        directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        file = directory / 'figures.json'
        printed = subprocess.check_output(
            [
                *(lab.TREE / 'tools/bench', 'run', 'rbd-4g', 'rbd-restore'),
                *('--rounds', '1', '--dir', directory, '--json', file),
            ],
            text=True,
        )
        self.assertIn('OSD MB', printed)
        measured = json.loads(file.read_text())

        backup = measured['rbd-4g']['figures']
        self.assertEqual(CHANGED, backup['changed_bytes'])
        self.assertEqual(CHANGED, backup['read_bytes'])
        self.assertLess(backup['served_bytes'], 1.1 * CHANGED)
        self.assertEqual(
            1, measured['rbd-4g']['ratios']['ours']['read_bytes']['median']
        )

        restore = measured['rbd-restore']['figures']
        self.assertEqual(0, restore['read_bytes'])
        self.assertLess(restore['served_bytes'], 1 << 20)
        self.assertEqual(CHANGED, restore['bytes_written'])

        # It takes away what it has made.
        self.assertEqual([file], list(directory.iterdir()))
