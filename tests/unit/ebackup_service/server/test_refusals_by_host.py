# SPDX-License-Identifier: Apache-2.0
"""A host has for itself what a storage refuses; others may be let in."""

import datetime
import logging

import fixtures

from ebackup_service.rpc import messages
from ebackup_service.server import dispatch
from ebackup_service.server import jobs
from ebackup_service.server import refusals
from ebackup_service.server import snapshots
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.server import test_refusals

MINUTE = test_refusals.MINUTE


class ByHostTestCase(test_refusals.RefusalsTestCase):
    """Two proxies; the credentials are on their hosts."""

    credentials = None
    hosts = ('here', 'there')

    def announce(self, **values):
        values = {
            'production': ['attached', folder.KIND],
            'max_jobs': 16,
            **values,
        }
        for host in self.hosts:
            self.fixture.announce(host, **values)

    def proxy(self, spec):
        return self.fixture.job(spec.id).proxy

    def handed_to(self, host):
        """A backup that the proxy of a host has."""
        hosts, self.hosts = self.hosts, (host,)
        for other in {*hosts} - {host}:
            self.fixture.age_proxy(other, 60 * 24 * test_refusals.HOUR)
        spec = self.handed()
        self.hosts = hosts
        return spec

    def known(self):
        return self.show().refusals

    def over(self, host):
        """The pause of a host ends."""
        now = datetime.datetime.now(datetime.UTC)
        now += datetime.timedelta(seconds=self.clock.ahead)
        pause = (self.known()[host].login_after - now).total_seconds()
        self.clock.ahead += pause + 0.1
        return pause

    def failed(self):
        """The error of a backup that nobody gets."""
        job = self.reserve()
        self.announce()
        self.assertEqual({}, self.fixture.assign())
        found = self.fixture.job(job.id)
        self.assertEqual('failed', found.state)
        self.assertEqual('credentials-refused', found.error['kind'])
        return found.error


class TestRefused(ByHostTestCase):
    def test_another_host_has_the_jobs(self):
        self.refuse(self.handed_to('here'))
        several = [self.handed() for _ in range(3)]
        self.assertEqual(['there'] * 3, [self.proxy(one) for one in several])

    def test_jobs_wait_for_room_there(self):
        self.refuse(self.handed_to('here'))
        for spec in self.handed(), self.handed():
            self.assertEqual('there', self.proxy(spec))
        job = self.reserve()
        self.announce(max_jobs=2)
        self.assertEqual({}, self.fixture.assign())
        self.assertEqual('pending', self.fixture.job(job.id).state)

    def test_without_another_one_they_fail_at_once(self):
        self.refuse(self.handed_to('here'))
        self.hosts = ('here',)
        self.fixture.age_proxy('there', 60 * 24 * test_refusals.HOUR)
        known = self.known()['here']
        error = self.failed()
        self.assertFalse(error['retryable'])
        for part in (
            "Storage 'one' refuses the credentials of host here since "
            f'{known.since:%Y-%m-%dT%H:%M:%S}Z',
            f'before {known.login_after:%Y-%m-%dT%H:%M:%S}Z',
            'restart its proxy',
        ):
            self.assertIn(part, error['message'])

    def test_with_several_the_one_that_is_next_is_named(self):
        for host in 'there', 'here':
            self.refuse(self.handed_to(host))
            self.clock.ahead += 1
        self.assertIn('of host there (and 1 more)', self.failed()['message'])

    def test_message_is_never_longer_than_cinder_keeps(self):
        name, host = 'x' * 64, 'y' * 64
        self.hosts = (host,)
        self.create(name, 'node@two')
        self.refuse(self.handed(host='node@two#pool'))
        said = refusals.explain_hosts(self.show(name), [host])
        self.assertLess(len(said), 256)
        self.assertIn(f'host {host}', said)

    def test_server_that_has_just_begun_waits_for_others(self):
        self.refuse(self.handed_to('here'))
        self.hosts = ('here',)
        self.fixture.age_proxy('there', 60 * 24 * test_refusals.HOUR)
        job = self.reserve()
        self.announce()
        looked = self.conf.server.proxy_timeout
        dispatch.assign(self.catalog, self.conf, looked=looked)
        self.assertEqual('pending', self.fixture.job(job.id).state)
        dispatch.assign(self.catalog, self.conf, looked=looked + 1)
        self.assertEqual('failed', self.fixture.job(job.id).state)

    def test_one_that_is_away_for_a_moment_is_awaited(self):
        self.refuse(self.handed_to('here'))
        spec = self.handed()
        self.assertEqual('there', self.proxy(spec))
        stopping = messages.JobError('proxy-stopping', 'It stops.', True)
        self.fixture.finish(spec, 'returned', error=stopping)
        self.fixture.announce('there', production=[folder.KIND], stopping=True)
        job = self.reserve()
        self.assertEqual({}, self.fixture.assign())
        for waiting in spec, job:
            self.assertEqual('pending', self.fixture.job(waiting.id).state)
        # It has not said that it stops, and is not heard of any more.
        self.fixture.announce('there', production=[folder.KIND])
        timeout = self.conf.server.resume_timeout
        self.conf.set_override('proxy_timeout', timeout / 2, 'server')
        self.fixture.age_proxy('there', timeout / 2 + 1)
        self.assertEqual({}, self.fixture.assign())
        self.assertEqual('pending', self.fixture.job(job.id).state)
        self.fixture.age_proxy('there', timeout / 2)
        self.assertEqual({}, self.fixture.assign())
        for waiting in spec, job:
            self.assertEqual('failed', self.fixture.job(waiting.id).state)

    def test_one_that_could_not_have_the_job_is_not_awaited(self):
        self.refuse(self.handed_to('here'))
        self.hosts = ('here',)
        self.fixture.announce('there', production=['attached'], stopping=True)
        self.failed()

    def test_one_that_is_refused_is_not_awaited(self):
        for host in self.hosts:
            self.refuse(self.handed_to(host))
        timeout = self.conf.server.resume_timeout / 2
        self.conf.set_override('proxy_timeout', timeout, 'server')
        self.hosts = ('here',)
        self.fixture.announce('there', production=[folder.KIND])
        self.fixture.age_proxy('there', timeout + 1)
        self.failed()

    def test_other_storages_and_attached_volumes_are_left(self):
        self.create('two', 'node@two')
        self.hosts = ('here',)
        self.refuse(self.handed())
        self.assertIsNotNone(self.handed(host='node@two#pool'))
        _, job = self.fixture.reserve()
        self.fixture.run(job.id)
        self.assertEqual('running', self.fixture.job(job.id).state)

    def test_it_is_logged(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        self.refuse(self.handed_to('here'))
        for part in 'Storage one refuses what host here has', '300 s':
            self.assertIn(part, log.output)


class TestReachedByHost(ByHostTestCase):
    """The catalog has the credentials, but not where the storage is."""

    credentials = {'key': 'secret'}
    settings = {'directory': '/nowhere'}

    def test_another_host_has_the_jobs(self):
        self.refuse(self.handed_to('here'))
        self.assertEqual(['here'], [*self.known()])
        self.assertEqual('there', self.proxy(self.handed()))


class TestReachedAlike(ByHostTestCase):
    """Each host is told whose credentials they are, and of what."""

    credentials = {'key': 'secret'}

    def test_no_host_has_jobs(self):
        self.refuse(self.handed_to('here'))
        self.assertEqual([refusals.EVERYWHERE], [*self.known()])
        self.failed()


class TestPause(ByHostTestCase):
    def test_it_grows_for_each_host_apart(self):
        pauses = []
        for _ in range(6):
            self.refuse(self.handed_to('here'))
            pauses.append(round(self.over('here') / MINUTE))
        self.assertEqual([5, 10, 20, 40, 60, 60], pauses)
        self.refuse(self.handed_to('there'))
        self.assertEqual(5, round(self.over('there') / MINUTE))

    def test_jobs_at_the_same_time_count_once(self):
        several = [self.handed_to('here') for _ in range(2)]
        self.refuse(several[0])
        before = self.known()
        self.clock.ahead += 1
        self.refuse(several[1])
        self.assertEqual(before, self.known())

    def test_those_of_another_host_count_there(self):
        several = [self.handed_to(host) for host in self.hosts]
        for spec in several:
            self.refuse(spec)
        found = self.known()
        self.assertEqual(
            {'here': 1, 'there': 1},
            {host: known.count for host, known in found.items()},
        )
        self.failed()

    def test_host_is_asked_again_when_it_is_over(self):
        for host in self.hosts:
            self.refuse(self.handed_to(host))
            self.clock.ahead += MINUTE
        self.failed()
        self.over('here')
        several = [self.handed() for _ in range(2)]
        self.assertEqual(['here'] * 2, [self.proxy(one) for one in several])


class TestForgotten(ByHostTestCase):
    def setUp(self):
        super().setUp()
        for host in self.hosts:
            self.refuse(self.handed_to(host))

    def test_by_a_success_from_there(self):
        self.over('there')
        self.succeed(self.handed_to('there'))
        self.assertEqual(['here'], [*self.known()])

    def test_by_a_snapshot_from_there(self):
        self.over('there')
        spec = self.handed_to('here')
        snapshots.plan(self.catalog, spec.id, spec.token, 'lun')
        self.assertEqual(['there'], [*self.known()])

    def test_with_other_settings(self):
        self.update(settings={'directory': '/elsewhere'})
        self.assertEqual({}, self.known())

    def test_when_the_proxy_has_stopped(self):
        with self.catalog.writer() as session:
            refusals.stopped(session, 'here')
        self.assertEqual(['there'], [*self.known()])
        self.assertEqual('here', self.proxy(self.handed()))

    def test_not_by_a_proxy_without_a_name(self):
        self.update(credentials={'key': 'secret'}, settings=self.settings)
        self.refuse(self.handed())
        with self.catalog.writer() as session:
            refusals.stopped(session, '')
        self.assertEqual([refusals.EVERYWHERE], [*self.known()])


class TestRelease(test_refusals.ReleaseTestCase, ByHostTestCase):
    """Snapshots of ours that are to be removed."""

    def test_another_host_removes_them(self):
        self.refuse(self.handed_to('here'))
        [spec] = self.release()
        self.assertEqual('there', self.proxy(spec))

    def test_refusal_of_their_removal_counts(self):
        self.refuse(self.begun())
        self.assertEqual(['here'], [*self.known()])

    def test_without_another_one_they_wait(self):
        for host in self.hosts:
            self.refuse(self.handed_to(host))
        self.assertEqual([], self.release())
        [job], _ = jobs.list(self.catalog, kind='release')
        self.assertEqual('credentials-refused', job.error['kind'])
        self.over('there')
        self.assertEqual(1, len(self.release()))
