# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import fixtures

from ebackup_service.api import errors
from ebackup_service.api import waits
from ebackup_service.cmd import all as cmd_all
from ebackup_service.cmd import catalogs
from ebackup_service.proxy import service as proxy_service
from tests.unit.ebackup_service.cmd import base
from tests.unit.ebackup_service import storage_fixture

PROGRAM = """
import sys
from ebackup_service.cmd import all as program
sys.exit(program.main())
"""
# Starting takes seconds where many tests run, stopping has its own limit.
PATIENCE = 300
STOP = 20


class StartTest(base.ProgramTestCase):
    def test_everything_runs_in_one_process_and_stops(self):
        log = self.useFixture(fixtures.FakeLogger())
        before = set(threading.enumerate())
        cmd_all.start(self.conf, self.stack)
        port = self.port(log.output)
        self.wait_for(
            lambda: (
                self.get(port, '/v1/repositories/default')['repository'][
                    'state'
                ]
                == 'available'
            )
        )
        self.assertTrue(self.get(port, '/v1/proxies')['proxies'][0]['alive'])
        self.stack.close()
        left = [
            thread.name
            for thread in set(threading.enumerate()) - before
            if thread.name in ('http', 'server-tick', 'proxy-announce')
        ]
        self.assertEqual([], left)

    def test_nobody_waits_any_longer_when_it_stops(self):
        end = self.useFixture(
            fixtures.MockPatchObject(waits.Waits, 'end', autospec=True)
        ).mock
        cmd_all.start(self.conf, self.stack)
        end.assert_not_called()
        self.stack.close()
        end.assert_called_once()

    def test_nothing_is_handed_out_before_the_proxy_listens(self):
        """It may be known from before; the job would be lost for a while."""
        start = proxy_service.ProxyService.start
        before = set(threading.enumerate())
        begun = set()

        def note(proxy):
            begun.update(set(threading.enumerate()) - before)
            start(proxy)

        self.useFixture(
            fixtures.MockPatchObject(proxy_service.ProxyService, 'start', note)
        )
        cmd_all.start(self.conf, self.stack)
        names = {thread.name for thread in begun}
        self.assertNotIn('server-tick', names)
        self.assertIn('http', names)

    def test_storages_are_registered_that_the_configuration_names(self):
        self.useFixture(storage_fixture.PlayedKind())
        self.enable_storage('pool = volumes')
        log = self.useFixture(fixtures.FakeLogger())
        cmd_all.start(self.conf, self.stack)
        path = '/v1/storages/ceph1'
        found = self.get(self.port(log.output), path)['storage']
        self.assertTrue(found['configured'] and found['has_credentials'])
        self.assertIn('ebackup.keys', os.listdir(f'{self.directory}/state'))

    def test_address_in_use_stops_what_was_started(self):
        log = self.useFixture(fixtures.FakeLogger())
        cmd_all.start(self.conf, self.stack)
        self.conf.set_override('port', self.port(log.output), group='api')
        with cmd_all.contextlib.ExitStack() as stack:
            self.assertRaises(OSError, cmd_all.start, self.conf, stack)

    def test_catalog_that_can_only_be_read_is_noticed(self):
        self.make_tables()
        self.forbid_writing()
        error = self.assertRaises(
            catalogs.NotReady, cmd_all.start, self.conf, self.stack
        )
        self.assertIn('cannot be written to', str(error))

    def test_anonymous_access_is_refused_on_other_addresses(self):
        self.conf.set_override('auth_strategy', 'none', group='api')
        self.conf.set_override('host', '0.0.0.0', group='api')
        self.assertRaises(
            errors.Misconfigured, cmd_all.start, self.conf, self.stack
        )


class ProcessTest(base.ProgramTestCase):
    """ebackup-all as a process of its own."""

    def _start(self):
        process = subprocess.Popen(
            [
                sys.executable,
                '-c',
                PROGRAM,
                '--config-file',
                self.path,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(self._end, process)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        said = ''
        for line in process.stdout:
            said += line
            if 'is ready' in line:
                break
        else:
            self.fail(said)
        # nobody reads the rest; a full pipe would stop the process
        threading.Thread(
            target=process.stdout.read, name='drain', daemon=True
        ).start()
        return process, self.port(said)

    def _end(self, process):
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()

    def _stop(self, process, number):
        begun = time.monotonic()
        process.send_signal(number)
        self.assertEqual(0, process.wait(PATIENCE))
        self.assertLess(time.monotonic() - begun, STOP)

    def _repository(self, port, name):
        return self.wait_for(
            lambda: [
                found
                for found in self.get(port, '/v1/repositories')['repositories']
                if found['name'] == name and found['state'] == 'available'
            ]
        )[0]

    def test_life_of_a_process(self):
        process, port = self._start()
        first = self._repository(port, 'default')
        other = os.path.join(self.directory, 'other')
        created = base.requests.post(
            f'http://127.0.0.1:{port}/v1/repositories',
            json={'repository': {'name': 'other', 'url': f'file://{other}'}},
            auth=('root', 'secret'),
            timeout=30,
        )
        self.assertEqual(202, created.status_code)
        self._repository(port, 'other')
        self.assertTrue(os.path.exists(f'{other}/repository.json'))
        self._stop(process, signal.SIGTERM)

        process, port = self._start()
        self.assertEqual(first, self._repository(port, 'default'))
        wrong = base.requests.get(
            f'http://127.0.0.1:{port}/v1/images',
            auth=('root', 'wrong'),
            timeout=30,
        )
        self.assertEqual(401, wrong.status_code)
        self._stop(process, signal.SIGINT)

    def test_url_that_no_proxy_could_open_is_one_line(self):
        with open(self.path, 'a') as options:
            options.write('[repository]\nurl = s3://bucket\n')
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM, '--config-file', self.path],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(1, done.returncode)
        self.assertIn('ebackup-all: [repository]url: No', done.stderr)
        self.assertNotIn('Traceback', done.stderr)


class MainTest(base.ProgramTestCase):
    def test_options_come_from_the_command_line(self):
        run = self.useFixture(
            fixtures.MockPatchObject(cmd_all.program, 'run', return_value=3)
        ).mock
        self.assertEqual(3, cmd_all.main(['x']))
        run.assert_called_once_with(
            'ebackup-all', cmd_all.start, ['x'], mock.ANY
        )
