# SPDX-License-Identifier: Apache-2.0
import errno
import fcntl
import io
import os
import struct
import subprocess
import sys
from unittest import mock

import fixtures

from ebackup_driver import hold
from tests import base

LOCK = struct.Struct('hhqqi4x')
HOLDER = """
import sys
from ebackup_driver import hold
with open(sys.argv[1], 'wb') as file, hold.held(file) as lock:
    print(lock, flush=True)
    sys.stdin.read()
"""


class TestHeld(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).join('volume')
        open(self.path, 'wb').close()
        self.log = self.useFixture(fixtures.FakeLogger())

    def seen(self, lock):
        """Return whether somebody else who opens the volume sees it held."""
        asked = LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, lock, 1, 0)
        with open(self.path, 'rb') as file:
            found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)
        return LOCK.unpack(found)[0] != fcntl.F_UNLCK

    def test_held_while_the_context_lasts_however_it_was_opened(self):
        for mode in 'rb', 'wb', 'r+b':
            with open(self.path, mode) as file:
                with hold.held(file) as lock:
                    self.assertTrue(self.seen(lock), mode)
                    self.assertFalse(self.seen(lock + 1))
                self.assertFalse(self.seen(lock))
        self.assertEqual('', self.log.output)

    def test_released_by_an_error_too(self):
        locks = []

        def fail():
            with open(self.path, 'rb') as file:
                with hold.held(file) as lock:
                    locks.append(lock)
                    raise KeyError

        self.assertRaises(KeyError, fail)
        self.assertFalse(self.seen(*locks))

    def test_operations_do_not_get_into_each_others_way(self):
        with open(self.path, 'rb') as one, open(self.path, 'wb') as other:
            with hold.held(one) as first:
                with hold.held(other) as second:
                    self.assertTrue(self.seen(first))
                    self.assertTrue(self.seen(second))
                self.assertTrue(self.seen(first))
                self.assertFalse(self.seen(second))

    def test_nobody_who_locks_the_volume_is_in_the_way(self):
        with open(self.path, 'r+b') as other, open(self.path, 'wb') as file:
            fcntl.flock(other, fcntl.LOCK_EX)
            with hold.held(file) as lock:
                self.assertTrue(self.seen(lock))
                # As QEMU does with its images, among the first bytes.
                fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 1024)

    def test_gone_once_the_process_is_killed(self):
        holder = subprocess.Popen(
            [sys.executable, '-c', HOLDER, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(holder.communicate)
        self.addCleanup(holder.kill)
        lock = int(holder.stdout.readline())
        self.assertTrue(self.seen(lock))
        holder.kill()
        holder.wait()
        self.assertFalse(self.seen(lock))

    def test_its_offset_is_exact_in_json_and_beyond_any_volume(self):
        with open(self.path, 'rb') as file:
            for _ in range(100):
                with hold.held(file) as lock:
                    self.assertEqual(lock, int(float(lock)))
                    self.assertGreaterEqual(lock, 1 << 52)

    def test_a_file_system_without_locks_is_said_once(self):
        with open(self.path, 'rb') as file:
            error = OSError(errno.ENOLCK, 'No locks available')
            with mock.patch.object(hold, '_set', side_effect=error):
                with hold.held(file) as lock:
                    self.assertIsNone(lock)
        self.assertEqual(1, self.log.output.count('can not be locked'))
        self.assertIn('No locks available', self.log.output)
        self.assertIn(self.path, self.log.output)

    def test_what_is_no_file_is_not_held(self):
        for nothing in object(), io.BytesIO():
            with hold.held(nothing) as lock:
                self.assertIsNone(lock)
