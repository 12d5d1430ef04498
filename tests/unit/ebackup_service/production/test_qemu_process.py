# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import time

import fixtures

from ebackup_service.production import errors
from ebackup_service.production import qemu_process
from tests import base
from tests.unit.ebackup_service.production import nbd_servers

# Starts one, says where, and waits.
_OWNER = """
import sys, time
from ebackup_service.production import qemu_process
process = qemu_process.Process(sys.argv[1], 20, lambda: None)
print(process._directory, flush=True)
time.sleep(600)
"""


class ProcessTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        nbd_servers.need_programs()
        self.top = os.path.join(self.useFixture(fixtures.TempDir()).path, 'q')

    def process(self):
        process = qemu_process.Process(self.top, 20, lambda: None)
        self.addCleanup(process.end)
        return process

    def number(self, directory):
        with open(os.path.join(directory, 'pid')) as file:
            return int(file.read())

    def assert_ends(self, number):
        end = time.monotonic() + 10
        while alive(number):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def directories(self):
        return [name for name in os.listdir(self.top) if name != 'lock']

    def owner(self):
        owner = subprocess.Popen(
            [sys.executable, '-c', _OWNER, self.top],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(owner.stdout.close)
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        return owner, owner.stdout.readline().strip()

    def test_answers_and_ends(self):
        with self.leaves_nothing_open():
            process = self.process()
            number = self.number(process._directory)
            with process.monitor() as monitor:
                self.assertEqual([], monitor.execute('query-block-exports'))
            self.assertTrue(os.path.exists(process.socket))
            self.assertEqual(
                0o700, os.stat(process._directory).st_mode & 0o777
            )
            process.end()
            process.end()
            self.assertFalse(alive(number))
            self.assertEqual([], self.directories())

    def test_hanging_one_is_ended(self):
        process = self.process()
        number = self.number(process._directory)
        os.kill(number, signal.SIGSTOP)
        started = time.monotonic()
        process.end()
        self.assertFalse(alive(number))
        self.assertLess(time.monotonic() - started, 10)

    def test_killed_one_is_ended(self):
        process = self.process()
        os.kill(self.number(process._directory), signal.SIGKILL)
        self.assertRaises(errors.SourceUnavailable, process.monitor)
        process.end()
        self.assertEqual([], self.directories())

    def test_ends_with_its_owner(self):
        owner, directory = self.owner()
        number = self.number(directory)
        self.assertTrue(alive(number))
        owner.kill()
        self.assert_ends(number)

    def test_what_an_owner_has_left_is_cleaned(self):
        owner, directory = self.owner()
        number = self.number(directory)
        with open(f'/proc/{number}/stat') as file:
            shell = int(file.read().rpartition(')')[2].split()[1])
        watchers = [
            int(name)
            for name in os.listdir('/proc')
            if name.isdecimal()
            and parent(name) == shell
            and int(name) != number
        ]
        # Whoever would have ended it is killed, too.
        for one in (*watchers, shell, owner.pid):
            os.kill(one, signal.SIGKILL)
        owner.wait()
        self.assertTrue(alive(number))
        process = self.process()
        qemu_process.clean(self.top)
        self.assert_ends(number)
        self.assertFalse(os.path.exists(directory))
        # One that has an owner is left alone.
        with process.monitor() as monitor:
            monitor.execute('query-jobs')

    def test_number_of_another_process_is_left_alone(self):
        other = subprocess.Popen(['sleep', '600'])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        for number, said in enumerate((str(other.pid), '', '0', 'x')):
            directory = os.path.join(self.top, f'qemu-{number}')
            os.makedirs(directory)
            with open(os.path.join(directory, 'pid'), 'w') as file:
                file.write(said)
        qemu_process.clean(self.top)
        self.assertEqual([], self.directories())
        self.assertIsNone(other.poll())

    def test_nothing_to_clean(self):
        qemu_process.clean(self.top)
        self.assertFalse(os.path.exists(self.top))

    def test_program_is_missing(self):
        self.useFixture(fixtures.EnvironmentVariable('PATH', '/nonexistent'))
        error = self.assertRaises(errors.NotInstalled, self.process)
        self.assertIn('qemu-system-common', str(error))

    def test_program_does_not_start(self):
        bad = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(bad, qemu_process.PROGRAM)
        with open(path, 'w') as file:
            file.write('#!/bin/sh\nexit 1\n')
        os.chmod(path, 0o755)
        self.useFixture(
            fixtures.EnvironmentVariable('PATH', f'{bad}:{os.environ["PATH"]}')
        )
        started = time.monotonic()
        self.assertRaises(errors.SourceUnavailable, self.process)
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual([], self.directories())

    def test_directory_can_not_be_made(self):
        with open(self.top, 'w'):
            pass
        error = self.assertRaises(errors.SourceUnavailable, self.process)
        self.assertIn(self.top, str(error))


def parent(number):
    try:
        with open(f'/proc/{number}/stat') as file:
            return int(file.read().rpartition(')')[2].split()[1])
    except OSError:
        return 0


def alive(number):
    """A zombie, which nobody has waited for, is not."""
    try:
        with open(f'/proc/{number}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False
