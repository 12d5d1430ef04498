# SPDX-License-Identifier: Apache-2.0

import os
import threading

import fixtures
import sqlalchemy as sa

from ebackup_service.server import deletions
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import proxies
from ebackup_service.server import repositories
from ebackup_service.server import service
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import service_fixture

CHUNK = service_fixture.CHUNK


class TestServerService(base.BaseTestCase):
    """With a proxy and a real repository, over the bus in memory."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(service_fixture.Service())
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()

    def wait_for(self, condition, what):
        return service_fixture.wait_for(condition, what)

    def test_backup_change_backup_delete_restore(self):
        content = bytearray(os.urandom(20 * CHUNK + 17))
        path = self.fixture.write_volume(content)
        volume_id = service_fixture.new_id()
        first = self.fixture.backup(path, volume_id)
        self.assertEqual('full', first.kind)
        self.assertEqual(len(content), first.bytes_read)

        content[5 * CHUNK] ^= 1
        self.fixture.write_volume(content, os.path.basename(path))
        second = self.fixture.backup(path, volume_id)
        self.assertEqual('incremental', second.kind)
        self.assertEqual(2, second.generation)
        self.assertLess(second.bytes_stored, 2 * CHUNK)

        job = images.delete(self.catalog, first.id)
        self.fixture.wait_for_job(job.id, 'succeeded', beat=False)
        target = os.path.join(self.fixture.volumes, 'target')
        job = self.fixture.restore_to(second, target)
        self.assertEqual(len(content), job.result['bytes_written'])
        self.assertEqual(100, job.progress['percent'])
        with open(target, 'rb') as restored:
            self.assertEqual(bytes(content), restored.read())

    def test_collection_follows_the_deletion_by_itself(self):
        path = self.fixture.write_volume(os.urandom(CHUNK))
        empty = repositories.usage(self.catalog, 'default')['used']
        image = self.fixture.backup(path)
        images.delete(self.catalog, image.id)
        job = self.wait_for(
            lambda: jobs.list(self.catalog, kind='gc', state='succeeded')[0],
            'collection',
        )[0]
        self.assertGreaterEqual(job.result['packs_removed'], 1)
        used = repositories.usage(self.catalog, 'default')['used']
        self.assertLess(used - empty, 1024)

    def test_two_backups_of_one_volume_at_once(self):
        path = self.fixture.write_volume(os.urandom(4 * CHUNK))
        volume_id = service_fixture.new_id()
        begun = [self.fixture.begin_backup(path, volume_id) for _ in range(2)]
        for _, job in begun:
            self.fixture.wait_for_job(job.id, 'succeeded')
        found = [images.show(self.catalog, image.id) for image, _ in begun]
        self.assertEqual(['available'] * 2, [image.state for image in found])
        self.assertEqual({1, 2}, {image.generation for image in found})

    def test_volume_that_can_not_be_read_fails_the_backup(self):
        image, job = self.fixture.reserve()
        self.fixture.attach(job.id, f'{self.fixture.volumes}/none')
        ended = self.fixture.wait_for_job(job.id, 'failed')
        self.assertEqual('path-unknown', ended.error['kind'])
        found = images.show(self.catalog, image.id)
        self.assertEqual(('error', ended.error), (found.state, found.error))

    def test_another_server_takes_over_what_this_one_knew(self):
        self.fixture.server.stop()
        path = self.fixture.write_volume(os.urandom(CHUNK))
        _, job = self.fixture.begin_backup(path)
        self.fixture.start_server()
        self.fixture.wait_for_job(job.id, 'succeeded')

    def test_two_servers_on_one_catalog(self):
        self.fixture.start_server()
        path = self.fixture.write_volume(os.urandom(CHUNK))
        for _ in range(3):
            image, job = self.fixture.begin_backup(path)
            ended = self.fixture.wait_for_job(job.id, 'succeeded')
            self.assertEqual(1, ended.token)

    def test_proxy_is_listed(self):
        [status] = proxies.list(self.catalog, self.fixture.conf)
        self.assertEqual(('here', True), (status.proxy.host, status.alive))
        self.assertIn('attached', status.proxy.capabilities['production'])


class TickTestCase(base.BaseTestCase):
    """The server ticks once, when it starts, or not at all by itself."""

    TICKS = True

    def setUp(self):
        super().setUp()
        if not self.TICKS:
            self.useFixture(
                fixtures.MockPatchObject(
                    service.ServerService, '_tick_until_stopped'
                )
            )
        self.fixture = self.useFixture(
            service_fixture.Service(
                {
                    'server': {
                        'tick': 3600,
                        'proxy_timeout': catalog_fixture.PATIENCE,
                    }
                },
                proxy=False,
            )
        )
        self.fixture.make_repository()
        self.fixture.announce()

    def ready(self):
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        return job


class TestTicker(TickTestCase):
    def test_wake_makes_it_look_at_once(self):
        job = self.ready()
        self.fixture.server.wake()
        service_fixture.wait_for(
            lambda: self.fixture.job(job.id).state == 'running', 'dispatch'
        )

    def test_stop_ends_its_threads(self):
        before = _tickers()
        server = self.fixture.start_server()
        self.assertEqual(before + 1, _tickers())
        server.stop()
        self.assertEqual(before, _tickers())


class TestTick(TickTestCase):
    TICKS = False

    def test_database_that_is_away_for_a_while_is_survived(self):
        with self.fixture.catalog.writer() as session:
            session.execute(sa.text('ALTER TABLE jobs RENAME TO away'))
        self.fixture.server.tick()
        with self.fixture.catalog.writer() as session:
            session.execute(sa.text('ALTER TABLE away RENAME TO jobs'))
        job = self.ready()
        self.fixture.server.tick()
        self.assertEqual('running', self.fixture.job(job.id).state)

    def test_job_of_before_its_start_waits_for_a_proxy(self):
        """Such as the takeover of a repository after a disaster."""
        self.fixture.conf.set_override('proxy_timeout', 600.0, 'server')
        job = self.ready()
        self.fixture.age_proxy('here', 3600)
        self.fixture.age(job.id, 1800)
        jobs.beat(self.fixture.catalog, job.id)
        self.fixture.server.tick()
        self.assertEqual('pending', self.fixture.job(job.id).state)
        self.fixture.announce()
        self.fixture.server.tick()
        self.assertEqual('running', self.fixture.job(job.id).state)

    def test_what_waits_does_not_wait_for_what_else_is_due(self):
        job = self.ready()
        states = []
        self.useFixture(
            fixtures.MockPatchObject(
                deletions,
                'resume',
                lambda catalog: states.append(self.fixture.job(job.id).state),
            )
        )
        self.fixture.server.tick()
        self.assertEqual(['running'], states)

    def test_stopped_server_hands_nothing_out(self):
        self.fixture.server.stop()
        job = self.ready()
        self.fixture.server.tick()
        self.assertEqual('pending', self.fixture.job(job.id).state)


def _tickers():
    return [thread.name for thread in threading.enumerate()].count(
        'server-tick'
    )
