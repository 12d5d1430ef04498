# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading

import fixtures

from ebackup_service.cmd import program
from tests import base


class Misconfigured(Exception):
    """What an operator can put right."""


class Ended(Exception):
    """In place of the end of the test's process."""


class RunTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        # It would replace the log handlers of the test's process.
        self.useFixture(fixtures.MockPatchObject(program.log, 'setup'))
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.path = self.useFixture(fixtures.TempDir()).join('ebackup.conf')
        self._write('[api]\nport = 1\n')

    def _write(self, text):
        with open(self.path, 'w') as options:
            options.write(text)

    def _run(self, start):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            code = program.run(
                'prog', start, ['--config-file', self.path], (Misconfigured,)
            )
        return code, err.getvalue()

    def test_either_signal_stops_the_parts_last_one_first(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            stopped = []

            def start(conf, stack, number=number, stopped=stopped):
                stack.callback(stopped.append, 'first')
                stack.callback(stopped.append, 'second')
                threading.Timer(0, os.kill, [os.getpid(), number]).start()

            self.assertEqual((0, ''), self._run(start))
            self.assertEqual(['second', 'first'], stopped)

    def test_signal_during_the_start_is_not_lost(self):
        def start(conf, stack):
            signal.raise_signal(signal.SIGTERM)

        self.assertEqual((0, ''), self._run(start))

    def test_trouble_that_an_operator_can_end_is_one_line(self):
        stopped = []

        def start(conf, stack):
            stack.callback(stopped.append, 'started before')
            raise Misconfigured('set this option')

        self.assertEqual((1, 'prog: set this option\n'), self._run(start))
        self.assertEqual(['started before'], stopped)

    def test_broken_configuration_is_one_line(self):
        self._write('[api]\nport = many\n')

        def start(conf, stack):
            self.assertIsNotNone(conf.api.port)

        code, said = self._run(start)
        self.assertEqual(1, code)
        self.assertIn('port', said)
        self.assertEqual(1, said.count('\n'))

    def test_secrets_are_not_logged(self):
        self._write(
            '[database]\nconnection = mysql+pymysql://u:hidden@h/d\n'
            '[repository]\nurl = s3://k:hidden@h/b\n'
        )
        self._run(lambda conf, stack: signal.raise_signal(signal.SIGTERM))
        self.assertIn('database.connection', self.log.output)
        self.assertNotIn('hidden', self.log.output)

    def test_second_signal_ends_the_process_at_once(self):
        self.useFixture(
            fixtures.MockPatchObject(program.os, '_exit', side_effect=Ended)
        )

        def start(conf, stack):
            stack.callback(signal.raise_signal, signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

        self.assertRaises(Ended, self._run, start)

    def test_nothing_ends_a_process_that_has_stopped(self):
        self._run(lambda conf, stack: signal.raise_signal(signal.SIGTERM))
        timers = [
            thread
            for thread in threading.enumerate()
            if isinstance(thread, threading.Timer)
            and not thread.finished.is_set()
        ]
        self.assertEqual([], timers)

    def test_crash_says_what_was_being_done(self):
        code = textwrap.dedent(f"""
            import os
            from ebackup_service.cmd import program
            def crash(conf, stack):
                os.abort()
            program.run('prog', crash, ['--config-file', {self.path!r}])
        """)
        crashed = subprocess.run(
            [sys.executable, '-c', code], stderr=subprocess.PIPE, text=True
        )
        self.assertEqual(-signal.SIGABRT, crashed.returncode)
        self.assertIn('line 5 in crash', crashed.stderr)

    def test_parts_that_do_not_stop_are_given_up(self):
        ended = threading.Event()
        self.useFixture(
            fixtures.MockPatchObject(
                program.os, '_exit', side_effect=lambda code: ended.set()
            )
        )
        self.useFixture(fixtures.MockPatchObject(program, 'MARGIN', 0))
        self._write(
            '[api]\nshutdown_timeout = 0\n[proxy]\nshutdown_timeout = 0\n'
        )

        def start(conf, stack):
            stack.callback(ended.wait, 30)
            signal.raise_signal(signal.SIGTERM)

        self._run(start)
        self.assertTrue(ended.is_set())
        self.assertIn('ending without order', self.log.output)
