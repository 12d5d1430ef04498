# SPDX-License-Identifier: Apache-2.0

import os
import time

import fixtures

from ebackup_service.production import iscsi
from ebackup_service.proxy import connector
from ebackup_service.proxy import crew as proxy_crew
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import proxies
from tests import base
from tests.unit.ebackup_service import messages_fixture
from tests.unit.ebackup_service import service_fixture

MIB = 2**20


class TestProxyService(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            service_fixture.Service({'proxy': {'shutdown_timeout': 0.2}})
        )
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()

    def status(self):
        return proxies.list(self.catalog, self.fixture.conf)[0]

    def slow(self):
        """A backup that runs for weeks at the proxy of this test."""
        self.fixture.proxy.stop()
        self.fixture.start_proxy(
            {'proxy': {'max_bytes_per_second': 1, 'shutdown_timeout': 0.2}}
        )
        path = self.fixture.write_volume(os.urandom(8 * MIB))
        image, job = self.fixture.begin_backup(path)

        def begun():
            return jobs.beat(self.catalog, job.id).started_at

        service_fixture.wait_for(begun, 'begin')
        return image, job

    def test_configuration_needs_no_database(self):
        self.fixture.proxy.stop()
        self.fixture.start_proxy(
            {'database': {'connection': 'mysql+pymysql://nobody@nowhere/x'}}
        )
        path = self.fixture.write_volume(b'x')
        self.assertEqual('available', self.fixture.backup(path).state)

    def test_it_announces_its_version(self):
        self.assertTrue(self.status().proxy.understood)

    def test_without_a_helper_it_attaches_nothing(self):
        capabilities = self.status().proxy.capabilities
        self.assertNotIn('connector', capabilities['production'])
        self.assertNotIn('connector', capabilities)

    def test_it_announces_by_what_its_host_is_known(self):
        self.fixture.proxy.stop()
        self.useFixture(
            fixtures.MonkeyPatch(
                f'{connector.__name__}.ready', lambda conf: {'host': 'h'}
            )
        )
        self.fixture.start_proxy({'proxy': {'privsep_helper': 'none'}})

        def announced():
            return self.status().proxy.capabilities.get('connector')

        found = service_fixture.wait_for(announced, 'connector')
        self.assertEqual({'host': 'h'}, found)
        kinds = self.status().proxy.capabilities['production']
        self.assertIn('connector', kinds)

    def test_helper_is_not_needed_where_qemu_reaches_iscsi(self):
        self.fixture.proxy.stop()
        self.useFixture(
            fixtures.MonkeyPatch(
                f'{iscsi.__name__}.check_installed', lambda: None
            )
        )
        self.fixture.start_proxy({'proxy': {'iscsi_initiator': 'qemu'}})

        def announced():
            return self.status().proxy.capabilities.get('connector')

        found = service_fixture.wait_for(announced, 'connector')
        self.assertIn('org.openstack.ebackup', found['initiator'])
        kinds = self.status().proxy.capabilities['production']
        self.assertIn('connector', kinds)

    def test_it_serves_all_else_where_os_brick_does_not_work(self):
        self.fixture.proxy.stop()
        self.useFixture(
            fixtures.MonkeyPatch(
                f'{connector.__name__}.ready', lambda conf: None
            )
        )
        self.fixture.start_proxy({'proxy': {'privsep_helper': 'none'}})
        path = self.fixture.write_volume(b'x')
        self.assertEqual('available', self.fixture.backup(path).state)
        self.test_without_a_helper_it_attaches_nothing()

    def test_it_announces_that_it_stops(self):
        self.fixture.proxy.stop()
        self.assertTrue(self.status().proxy.capabilities['stopping'])

    def test_stop_is_bounded_and_the_next_proxy_goes_on(self):
        image, job = self.slow()
        began = time.monotonic()
        self.fixture.proxy.stop()
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual('pending', self.fixture.job(job.id).state)
        self.fixture.start_proxy()
        found = self.fixture.wait_for_job(job.id, 'succeeded')
        self.assertEqual(2, found.runs)
        self.assertEqual('available', self.fixture.image(image.id).state)

    def test_stopped_proxy_leaves_a_checkpoint(self):
        self.fixture.proxy.stop()
        self.fixture.start_proxy(
            {
                'proxy': {
                    'max_bytes_per_second': 8 * MIB,
                    'shutdown_timeout': 20,
                    'workers': 1,
                }
            }
        )
        content = os.urandom(64 * MIB)
        path = self.fixture.write_volume(content)
        image, job = self.fixture.begin_backup(path)

        def reads():
            return (jobs.beat(self.catalog, job.id).progress or {}).get(
                'bytes_read'
            )

        service_fixture.wait_for(reads, 'read')
        with fixtures.MockPatchObject(proxy_crew, '_PATIENCE', 0.0):
            self.fixture.proxy.stop()
        self.assertEqual('pending', self.fixture.job(job.id).state)
        self.fixture.start_proxy()
        found = self.fixture.wait_for_job(job.id, 'succeeded')
        self.assertEqual(2, found.runs)
        self.assertEqual(0, found.result['bytes_reread'])
        self.fixture.restore_to(self.fixture.image(image.id), path)
        with open(path, 'rb') as file:
            self.assertEqual(content, file.read())

    def test_restarted_proxy_goes_on_with_what_waits(self):
        self.fixture.proxy.stop()
        path = self.fixture.write_volume(b'x')
        _, job = self.fixture.begin_backup(path)
        self.fixture.start_proxy()
        self.fixture.wait_for_job(job.id, 'succeeded')

    def test_image_that_is_deleted_while_it_is_made(self):
        image, job = self.slow()
        delete = images.delete(self.catalog, image.id)
        began = time.monotonic()
        self.fixture.wait_for_job(delete.id, 'succeeded', beat=False)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual('cancelled', self.fixture.job(job.id).state)
        self.assertEqual('deleted', self.fixture.image(image.id).state)

    def test_jobs_are_cancelled_within_five_seconds(self):
        _, job = self.slow()
        began = time.monotonic()
        jobs.cancel(self.catalog, job.id)
        self.fixture.wait_for_job(job.id, 'cancelled')
        self.assertLess(time.monotonic() - began, 5)


class TestLostProxy(base.BaseTestCase):
    """A proxy that is cut off from the servers, in the middle of a job."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            service_fixture.Service(
                {
                    'server': {'lease': 1.0},
                    'proxy': {'max_bytes_per_second': 2 * MIB},
                }
            )
        )
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        self.content = os.urandom(12 * MIB)
        path = self.fixture.write_volume(self.content)
        self.image, self.job = self.fixture.begin_backup(path)
        service_fixture.wait_for(self.begun, 'begin')

    def begun(self):
        return jobs.beat(self.catalog, self.job.id).started_at

    def cut_off(self):
        for method in ('renew', 'finish'):
            self.useFixture(
                messages_fixture.Outage(
                    lambda sent, method=method: sent == method
                )
            )

    def test_job_goes_on_when_the_proxy_is_back(self):
        outage = self.useFixture(messages_fixture.Outage(lambda sent: True))

        def lost():
            return jobs.beat(self.catalog, self.job.id).state == 'pending'

        service_fixture.wait_for(lost, 'lost proxy is noticed')
        outage.left = 0
        found = self.fixture.wait_for_job(self.job.id, 'succeeded')
        self.assertLess(1, found.runs)
        path = self.fixture.write_volume(b'')
        self.fixture.restore_to(self.fixture.image(self.image.id), path)
        with open(path, 'rb') as file:
            self.assertEqual(self.content, file.read())

    def test_job_that_is_lost_too_often_fails_and_nothing_is_left(self):
        self.fixture.conf.set_override('max_runs', 1, 'server')
        self.cut_off()
        found = self.fixture.wait_for_job(self.job.id, 'failed')
        self.assertEqual('proxy-lost', found.error['kind'])
        self.assertIn('here', found.error['message'])
        self.assertEqual('error', self.fixture.image(self.image.id).state)
        objects = os.path.join(self.fixture.repository_path, 'packs')
        service_fixture.wait_for(
            lambda: (
                not [
                    name for _, _, names in os.walk(objects) for name in names
                ]
            ),
            'removal of what was stored',
        )

    def test_proxy_that_comes_back_takes_the_next_job(self):
        self.fixture.conf.set_override('max_runs', 1, 'server')
        outages = [self.useFixture(messages_fixture.Outage(lambda sent: True))]
        self.fixture.wait_for_job(self.job.id, 'failed')
        outages[0].left = 0
        path = self.fixture.write_volume(b'x')
        self.assertEqual('available', self.fixture.backup(path).state)

    def test_driver_that_vanishes(self):
        self.fixture.conf.set_override('heartbeat_timeout', 1.0, 'server')
        self.fixture.conf.set_override('resume_timeout', 2.0, 'server')
        found = self.fixture.wait_for_job(self.job.id, 'failed', beat=False)
        self.assertEqual('heartbeat-lost', found.error['kind'])


class TestLostServer(base.BaseTestCase):
    def test_proxy_survives_a_bus_that_is_away(self):
        fixture = self.useFixture(
            service_fixture.Service(
                {'proxy': {'announce_interval': 0.05}}, server=False
            )
        )
        fixture.start_server()
        service_fixture.wait_for(
            lambda: proxies.list(fixture.catalog, fixture.conf), 'announce'
        )
