# SPDX-License-Identifier: Apache-2.0
"""One of the services away for a while, while the others go on.

For a short while a backup does not mind. For longer, the absence of the API is
an error, and that of the servers or of the message bus a pause.
"""

import time
import unittest

from tests.functional import base
from tests.functional import ebackup_case
from tests.functional import fault_case
from tests.functional import lab

MIB = base.MIB
# A volume of 1 GiB takes a quarter of a minute.
SLOW = 64 * MIB


class SplitServiceTestCase(fault_case.FaultTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if not lab.current().separate:
            raise unittest.SkipTest('these are one process here')
        ebackup_case.throttle_class(cls, SLOW)

    def setUp(self) -> None:
        super().setUp()
        self.made = self.start_backup(self.volume)
        self.job_id = self.wait_for_progress(self.made, 'backup')['id']

    def kill(self, service: str) -> None:
        self.addCleanup(self.lab.run, 'up')
        self.lab.run('kill', service)

    def ends_well(self) -> None:
        self.wait_for_backup(self.made, 'available')
        self.assertEqual('succeeded', self.job(self.job_id)['state'])
        self.assertEqual(self.digest, self.sha256(self.restore(self.made)))

    def test_killed_api_comes_back_and_a_killed_server_is_not_missed(self):
        runs = self.job(self.job_id)['runs']
        killed = time.monotonic()
        self.kill('ebackup-api')
        self.lab.run('start', 'ebackup-api')
        away = time.monotonic() - killed
        self.kill('ebackup-server')
        self.ends_well()
        # Without a beat for that long, the job is returned.
        missed = away >= self.configuration().server.heartbeat_timeout
        self.assertLessEqual(self.job(self.job_id)['runs'], runs + missed)

    def test_killed_bus_and_database_come_back(self):
        # The job may not take as long as RabbitMQ to start.
        for service in 'mariadb', 'rabbitmq':
            self.assertEqual('running', self.job(self.job_id)['state'])
            self.kill(service)
            self.lab.run('start', service)
        self.ends_well()

    def test_api_killed_stays_away(self):
        self.kill('ebackup-api')
        # [ebackup] service_timeout of the lab is 30 s.
        found = self.wait_for_backup(self.made, 'error')
        self.assertRegex(
            found.fail_reason,
            '^Connection refused: no connection to http.* for [0-9]+ s',
        )
        self.wait_for_volume('available')
        self.lab.run('start', 'ebackup-api')
        self.next_backup_is_right()
        # The driver, which alone wanted it, has gone.
        self.assertEqual('failed', self.wait_for_job(self.job_id)['state'])

    def test_both_servers_killed_are_away_for_longer_than_a_lease(self):
        before = self.job(self.job_id)['runs']
        self.kill('ebackup-server')
        self.kill('ebackup-server-2')
        # The proxy stops by itself; the driver reaches the API, and waits.
        stopped = f'backup job {self.job_id} returned: the lease ended'
        self.wait_for_log('ebackup-proxy', stopped)
        self.assertEqual('running', self.job(self.job_id)['state'])
        self.assertEqual(
            'creating', self.admin.block_storage.get_backup(self.made).status
        )
        # Either goes on with what the other one has begun.
        self.lab.run('start', 'ebackup-server-2')
        self.ends_well()
        self.assertEqual(before + 1, self.job(self.job_id)['runs'])
