# SPDX-License-Identifier: Apache-2.0
"""Jobs are cancelled within five seconds, wherever they are."""

import os
import time

from ebackup_service.server import jobs
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import messages_fixture
from tests.unit.ebackup_service import service_fixture

MIB = 2**20
LIMIT = 5


class TestCancel(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            service_fixture.Service({'proxy': {'shutdown_timeout': 0.2}})
        )
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        # The job that is cancelled shall be the only one.
        self.fixture.conf.set_override('gc_interval', 0, 'server')

    def slow(self):
        """Jobs take weeks from now on."""
        self.fixture.proxy.stop()
        self.fixture.start_proxy(
            {'proxy': {'max_bytes_per_second': 1, 'shutdown_timeout': 0.2}}
        )

    def backup(self, size=8 * MIB):
        path = self.fixture.write_volume(os.urandom(size))
        _, job = self.fixture.begin_backup(path)
        return job

    def lose(self, method):
        """No message of that kind arrives any more."""
        self.useFixture(messages_fixture.Outage(lambda sent: sent == method))

    def wait_until_begun(self, job):
        service_fixture.wait_for(
            lambda: jobs.beat(self.catalog, job.id).begun, 'begin'
        )

    def assertCancelled(self, job):
        began = time.monotonic()
        jobs.cancel(self.catalog, job.id)
        found = self.fixture.wait_for_job(job.id, 'cancelled')
        self.assertLess(time.monotonic() - began, LIMIT)
        self.assertEqual('cancelled', found.error['kind'])

    def test_driver_has_not_said_where(self):
        _, job = self.fixture.reserve()
        self.assertCancelled(job)

    def test_no_proxy_is_there(self):
        self.fixture.proxy.stop()
        self.assertCancelled(self.backup())

    def test_proxy_does_not_hear_of_it(self):
        self.lose('run_job')
        job = self.backup()
        service_fixture.wait_for(
            lambda: self.fixture.job(job.id).state == 'running', 'hand-out'
        )
        self.assertCancelled(job)

    def test_no_message_reaches_the_proxy_any_more(self):
        self.slow()
        job = self.backup()
        self.wait_until_begun(job)
        self.lose('cancel_job')
        self.assertCancelled(job)

    def test_restore(self):
        path = self.fixture.write_volume(os.urandom(8 * MIB))
        image = self.fixture.backup(path)
        self.slow()
        target = self.fixture.write_volume(b'')
        job = self.fixture.restore(image)
        self.fixture.attach(job.id, target)
        self.wait_until_begun(job)
        self.assertCancelled(job)

    def test_backup_that_waits_for_its_commit(self):
        self.lose('commit_image')
        job = self.backup(size=1)
        service_fixture.wait_for(
            lambda: (
                jobs.beat(self.catalog, job.id).progress.get('percent') == 100
            ),
            'all is read',
        )
        self.assertCancelled(job)

    def test_collection(self):
        self.lose('live')
        job = repositories.collect(self.catalog, 'default')
        service_fixture.wait_for(
            lambda: self.fixture.job(job.id).begun, 'begin'
        )
        self.assertCancelled(job)

    def test_check_that_reads_everything(self):
        self.fixture.backup(self.fixture.write_volume(os.urandom(8 * MIB)))
        self.slow()
        job = repositories.check(self.catalog, 'default', 1)
        service_fixture.wait_for(
            lambda: self.fixture.job(job.id).begun, 'begin'
        )
        self.assertCancelled(job)

    def test_interrupted_job(self):
        self.slow()
        job = self.backup()
        self.wait_until_begun(job)
        self.fixture.proxy.stop()
        self.assertEqual('pending', self.fixture.job(job.id).state)
        self.assertCancelled(job)
