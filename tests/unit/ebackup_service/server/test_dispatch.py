# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server import dispatch
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import connector_fixture
from tests.unit.ebackup_service import messages_fixture


class DispatchTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()

    def ready(self, host='here', **values):
        _, job = self.fixture.reserve(**values)
        self.fixture.attach(job.id, host=host)
        return job

    def assigned(self, **options):
        """Job id -> host, of one tick."""
        handed = dispatch.assign(self.catalog, self.fixture.conf, **options)
        return {spec.id: host for host, spec in handed}

    def error(self, job):
        found = self.fixture.job(job.id)
        return found.error and found.error['kind']


class TestAssign(DispatchTestCase):
    def test_data_job_goes_to_the_host_of_its_volume(self):
        for host in ('a', 'here', 'z'):
            self.fixture.announce(host)
        job = self.ready()
        self.assertEqual({job.id: 'here'}, self.assigned())
        found = self.fixture.job(job.id)
        self.assertEqual(('running', 'here'), (found.state, found.proxy))

    def test_it_is_handed_out_once(self):
        self.fixture.announce()
        self.ready()
        self.assigned()
        self.assertEqual({}, self.assigned())

    def test_job_that_needs_something_waits(self):
        self.fixture.announce()
        self.fixture.reserve()
        self.assertEqual({}, self.assigned())

    def test_proxy_that_can_not_read_it_gets_nothing(self):
        self.fixture.announce(production=['rbd'])
        self.ready()
        self.assertEqual({}, self.assigned())

    def test_upkeep_goes_to_the_proxy_with_the_least(self):
        for host in ('a', 'b'):
            self.fixture.announce(host)
        made = [self.fixture.make_repository(name) for name in 'xy']
        self.assertEqual(2, len(made))
        for name in 'xy':
            repositories.collect(self.catalog, name)
        self.assertEqual({'a', 'b'}, set(self.assigned().values()))

    def test_one_collection_of_a_repository_at_a_time(self):
        self.fixture.announce()
        first = repositories.collect(self.catalog, 'default')
        spec = self.fixture.run(first.id)
        second = repositories.collect(self.catalog, 'default')
        repositories.check(self.catalog, 'default')
        self.assertEqual({}, self.assigned())
        self.fixture.finish(spec)
        self.assertEqual([second.id], list(self.assigned()))

    def test_oldest_first_and_no_more_than_a_proxy_takes(self):
        self.fixture.announce(max_jobs=2)
        made = [self.ready() for _ in range(3)]
        for age, job in zip((30, 20, 10), made, strict=True):
            self.fixture.age(job.id, age)
            jobs.beat(self.catalog, job.id)
        self.assertEqual({made[0].id, made[1].id}, set(self.assigned()))
        self.assertEqual({}, self.assigned())

    def test_room_that_gets_free_is_used(self):
        self.fixture.announce(max_jobs=1)
        first, second = self.ready(), self.ready()
        self.fixture.age(first.id, 1)
        handed = dispatch.assign(self.catalog, self.fixture.conf)
        self.fixture.finish(handed[0][1], 'failed')
        self.assertEqual([second.id], list(self.assigned()))

    def test_upkeep_takes_no_room_from_data(self):
        self.fixture.announce(max_jobs=1)
        gc = repositories.collect(self.catalog, 'default')
        job = self.ready()
        self.assertEqual({gc.id, job.id}, set(self.assigned()))

    def test_limit_of_the_whole_service(self):
        self.fixture.conf.set_override('max_jobs', 1, 'server')
        for host in ('a', 'b'):
            self.fixture.announce(host)
            self.ready(host)
        self.assertEqual(1, len(self.assigned()))

    def test_stopping_proxy_gets_nothing(self):
        self.fixture.announce(stopping=True)
        self.ready()
        repositories.collect(self.catalog, 'default')
        self.assertEqual({}, self.assigned())

    def test_proxy_whose_messages_are_not_understood_gets_nothing(self):
        self.ready()
        repositories.collect(self.catalog, 'default')
        for version in ('1.0', '99.0', None):
            self.fixture.announce(messages=version or '')
            self.assertEqual({}, self.assigned())
        self.fixture.announce()
        self.assertEqual(2, len(self.assigned()))

    def test_deletion_waits_for_the_end_of_the_backup(self):
        image, backup = self.fixture.reserve()
        spec = self.fixture.run(backup.id)
        delete = images.delete(self.catalog, image.id)
        self.assertEqual({}, self.assigned())
        self.fixture.finish(spec, 'cancelled')
        self.assertEqual([delete.id], list(self.assigned()))


class TestBeat(DispatchTestCase):
    """A driver beats several times in heartbeat_timeout."""

    def setUp(self):
        super().setUp()
        self.fixture.conf.set_override('heartbeat_timeout', 40.0, 'server')
        self.fixture.announce()
        self.job = self.ready()

    def test_job_is_handed_out_while_none_is_missing(self):
        self.fixture.age(self.job.id, 10)
        self.assertEqual([self.job.id], list(self.assigned()))

    def test_job_waits_for_the_one_that_is_missing(self):
        self.fixture.age(self.job.id, 21)
        self.assertEqual({}, self.assigned())
        jobs.beat(self.catalog, self.job.id)
        self.assertEqual([self.job.id], list(self.assigned()))


class TestWithoutProxy(DispatchTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.conf.set_override('proxy_timeout', 5.0, 'server')

    def test_new_job_waits_a_moment(self):
        job = self.ready()
        self.assertEqual({}, self.assigned())
        self.assertIsNone(self.error(job))

    def test_error_says_what_to_start_and_where(self):
        self.fixture.announce('elsewhere')
        job = self.ready()
        self.fixture.age(job.id, 6)
        jobs.beat(self.catalog, job.id)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))
        message = self.fixture.job(job.id).error['message']
        self.assertIn('No proxy runs on host here', message)
        self.assertIn('ebackup-proxy', message)
        self.assertLess(len(message), 255)

    def test_proxy_that_was_there_just_now_may_come_back(self):
        self.fixture.announce()
        self.fixture.announce(stopping=True)
        job = self.ready()
        self.fixture.age(job.id, 6)
        self.assigned()
        self.assertIsNone(self.error(job))
        self.fixture.age_proxy('here', 6)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))

    def test_proxy_that_nobody_could_hear_may_come_back(self):
        self.fixture.announce()
        job = self.ready()
        # An outage of the database, say, is over.
        self.fixture.age_proxy('here', 50)
        self.fixture.age(job.id, 50)
        jobs.beat(self.catalog, job.id)
        self.assertEqual({}, self.assigned())
        self.assertIsNone(self.error(job))
        self.fixture.announce()
        self.assertEqual([job.id], list(self.assigned()))

    def test_proxy_that_nobody_could_hear_is_not_awaited_for_ever(self):
        self.fixture.announce()
        job = self.ready()
        self.fixture.age_proxy('here', 61)
        self.fixture.age(job.id, 61)
        jobs.beat(self.catalog, job.id)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))

    def test_proxy_that_was_gone_before_is_not_awaited(self):
        self.fixture.announce()
        self.fixture.age_proxy('here', 12)
        job = self.ready()
        self.fixture.age(job.id, 6)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))

    def test_proxy_that_can_not_reach_the_volume_is_not_waited_for(self):
        self.fixture.announce(production=['rbd'])
        job = self.ready()
        self.fixture.age(job.id, 6)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))
        message = self.fixture.job(job.id).error['message']
        self.assertIn('volumes of kind attached', message)

    def test_option_is_named_without_which_no_proxy_attaches(self):
        self.fixture.announce()
        connector_fixture.register(self.fixture)
        _, job = self.fixture.reserve(volume=connector_fixture.volume())
        self.fixture.age(job.id, 6)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))
        message = self.fixture.job(job.id).error['message']
        self.assertIn('[proxy] privsep_helper', message)
        self.assertLess(len(message), 255)

    def test_proxy_that_is_to_be_upgraded_is_named(self):
        self.fixture.announce(messages='1.0')
        found = [
            self.ready(),
            repositories.collect(self.catalog, 'default'),
        ]
        for job in found:
            self.fixture.age(job.id, 6)
        jobs.beat(self.catalog, found[0].id)
        self.assigned()
        for job in found:
            self.assertEqual('no-proxy', self.error(job))
            message = self.fixture.job(job.id).error['message']
            self.assertIn('host here is of version 1,', message)
            self.assertIn('upgrade it', message)

    def test_server_that_has_just_begun_may_not_have_heard_of_it(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.age(job.id, 600)
        self.assertEqual({}, self.assigned(looked=4.0))
        self.assertIsNone(self.error(job))
        self.fixture.announce()
        self.assertEqual({job.id: 'here'}, self.assigned(looked=4.5))

    def test_server_that_has_begun_a_while_ago_would_have_heard_of_it(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.age(job.id, 600)
        self.assigned(looked=5.1)
        self.assertEqual('no-proxy', self.error(job))

    def test_upkeep_fails_when_there_is_no_proxy_at_all(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.age(job.id, 6)
        self.assigned()
        self.assertEqual('no-proxy', self.error(job))
        message = self.fixture.job(job.id).error['message']
        self.assertIn('No proxy runs anywhere', message)


class TestDispatch(DispatchTestCase):
    def setUp(self):
        super().setUp()
        self.bus = self.useFixture(messages_fixture.Bus(self.fixture.conf))
        self.heard = self.bus.hear_as_proxy('here')

    def dispatch(self):
        dispatch.dispatch(
            self.catalog, self.fixture.conf, self.bus.proxy_client()
        )

    def test_proxy_hears_of_its_job(self):
        self.fixture.announce()
        job = self.ready()
        self.dispatch()
        method, arguments = self.heard.get(timeout=10)
        self.assertEqual('run_job', method)
        self.assertEqual(job.id, arguments['job']['id'])

    def test_proxy_hears_of_a_cancellation_until_the_job_ends(self):
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        jobs.cancel(self.catalog, job.id, 'Not today.')
        for _ in range(2):
            self.dispatch()
            self.assertEqual(
                (
                    'cancel_job',
                    {
                        'job_id': job.id,
                        'token': spec.token,
                        'reason': 'Not today.',
                    },
                ),
                self.heard.get(timeout=10),
            )
        self.fixture.finish(spec, 'cancelled')
        self.dispatch()
        self.assertTrue(self.heard.empty())

    def test_bus_that_fails_costs_time_only(self):
        self.fixture.announce()
        job = self.ready()
        self.bus.break_down()
        self.dispatch()
        self.assertEqual('running', self.fixture.job(job.id).state)
        jobs.cancel(self.catalog, job.id)
        self.dispatch()
        self.assertIsNone(self.fixture.job(job.id).started_at)

    def test_nothing_to_do(self):
        self.dispatch()
        self.assertTrue(self.heard.empty())
