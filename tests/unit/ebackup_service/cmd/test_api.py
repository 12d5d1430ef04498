# SPDX-License-Identifier: Apache-2.0
import threading
import time
from unittest import mock

import fixtures

from ebackup_service.api import waits
from ebackup_service.cmd import api
from ebackup_service.cmd import catalogs
from tests.unit.ebackup_service.cmd import base


class ApiTest(base.ProgramTestCase):
    def test_requests_are_answered_until_it_stops(self):
        self.make_tables()
        log = self.useFixture(fixtures.FakeLogger())
        api.start(self.conf, self.stack)
        port = self.port(log.output)
        self.assertEqual(
            {'images': [], 'next': None}, self.get(port, '/v1/images')
        )
        self.stack.close()
        self.assertRaises(
            base.requests.ConnectionError, self.get, port, '/v1/images'
        )

    def test_whoever_waits_for_the_end_of_a_job_is_answered_when_it_stops(
        self,
    ):
        self.make_tables()
        self.conf.set_override('service_users', ['root'], group='http_basic')
        log = self.useFixture(fixtures.FakeLogger())
        api.start(self.conf, self.stack)
        url = f'http://127.0.0.1:{self.port(log.output)}/v1'
        options = {'auth': ('root', 'secret'), 'timeout': 30}
        body = {'repository': {'name': 'a', 'url': 'file:///x'}}
        job = base.requests.post(
            f'{url}/repositories', json=body, **options
        ).json()['job']
        waits_now = threading.Event()

        def sleep(seconds):
            waits_now.set()
            time.sleep(seconds)

        # Time does not pass.
        clock = mock.Mock(sleep=sleep, monotonic=lambda: 0.0)
        self.useFixture(fixtures.MockPatchObject(waits, 'time', clock))
        answers = []
        driver = threading.Thread(
            target=lambda: answers.append(
                base.requests.post(
                    f'{url}/jobs/{job["id"]}/heartbeat?wait=5', **options
                ).status_code
            ),
            daemon=True,
        )
        driver.start()
        self.assertTrue(waits_now.wait(30))
        self.stack.close()
        driver.join(30)
        self.assertEqual([200], answers)

    def test_catalog_without_tables_is_noticed_at_the_start(self):
        self.conf.set_override('state_path', self.directory)
        self.assertRaises(catalogs.NotReady, api.start, self.conf, self.stack)

    def test_server_that_is_not_there_is_no_error(self):
        self.make_tables()
        log = self.useFixture(fixtures.FakeLogger())
        api.start(self.conf, self.stack)
        answer = base.requests.post(
            f'http://127.0.0.1:{self.port(log.output)}/v1/repositories',
            json={'repository': {'name': 'a', 'url': 'file:///x'}},
            auth=('root', 'secret'),
            timeout=30,
        )
        self.assertEqual(202, answer.status_code)

    def test_catalog_that_can_only_be_read_is_noticed_at_the_start(self):
        self.make_tables()
        self.forbid_writing()
        self.assertRaises(catalogs.NotReady, api.start, self.conf, self.stack)


class MainTest(base.ProgramTestCase):
    def test_options_come_from_the_command_line(self):
        run = self.useFixture(
            fixtures.MockPatchObject(api.program, 'run', return_value=3)
        ).mock
        self.assertEqual(3, api.main(['--config-file', 'x']))
        run.assert_called_once_with(
            'ebackup-api', api.start, ['--config-file', 'x'], mock.ANY
        )
