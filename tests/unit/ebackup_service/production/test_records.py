# SPDX-License-Identifier: Apache-2.0
import os
import stat
import subprocess
import sys

import fixtures

from ebackup_service.production import records
from tests import base

# What another process, that is killed in the end, has attached.
_OTHER = """
import os, sys
from ebackup_service.production import records
record = records.Records(sys.argv[1]).begin({'data': {'of': 'another'}})
record.add({'device': {'path': '/dev/x'}})
print('begun', flush=True)
sys.stdin.read()
os._exit(1)
"""


class TestRecords(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        root = self.useFixture(fixtures.TempDir()).path
        self.directory = os.path.join(root, 'attached')
        self.records = records.Records(self.directory)

    def files(self):
        return [
            os.path.join(self.directory, name)
            for name in os.listdir(self.directory)
        ]

    def left(self):
        found = self.records.left()
        for record in found:
            self.addCleanup(record.leave)
        return [record.content for record in found]

    def test_nothing_was_ever_attached(self):
        self.assertEqual([], self.left())
        self.assertFalse(os.path.exists(self.directory))

    def test_only_the_service_may_read_it(self):
        self.records.begin({'data': {}})
        self.assertEqual(0o700, stat.S_IMODE(os.stat(self.directory).st_mode))
        (file,) = self.files()
        self.assertEqual(0o600, stat.S_IMODE(os.stat(file).st_mode))

    def test_it_goes_when_it_ends(self):
        self.records.begin({'data': {}}).end()
        self.assertEqual([], self.files())

    def test_of_a_process_that_runs_nothing_is_left(self):
        record = self.records.begin({'data': {}})
        self.assertEqual([], self.left())
        record.leave()
        self.assertEqual([{'data': {}}], self.left())

    def test_of_a_process_that_was_killed_it_is_left(self):
        process = subprocess.Popen(
            [sys.executable, '-c', _OTHER, self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.assertEqual(b'begun\n', process.stdout.readline())
        self.assertEqual([], self.left())
        process.kill()
        process.wait()
        self.assertEqual(
            [{'data': {'of': 'another'}, 'device': {'path': '/dev/x'}}],
            self.left(),
        )

    def test_half_a_line_is_ignored(self):
        record = self.records.begin({'data': {'a': 1}})
        (file,) = self.files()
        with open(file, 'a') as stream:
            stream.write('{"device": {"pa')
        record.leave()
        self.assertEqual([{'data': {'a': 1}}], self.left())

    def test_one_that_was_not_written_yet_is_removed(self):
        os.mkdir(self.directory)
        open(os.path.join(self.directory, 'new'), 'w').close()
        self.assertEqual([], self.left())
        self.assertEqual([], self.files())
