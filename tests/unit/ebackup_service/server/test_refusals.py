# SPDX-License-Identifier: Apache-2.0
import datetime
import logging

import fixtures

from ebackup_service.rpc import messages
from ebackup_service.server import dispatch
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import refusals
from ebackup_service.server import snapshots
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.server.catalog import clock_fixture

REFUSED = messages.JobError('credentials-refused', 'wrong key', False)
MINUTE = 60.0
HOUR = 60 * MINUTE


class RefusalsTestCase(base.BaseTestCase):
    """With the default option: five minutes."""

    credentials: dict | None = {'key': 'secret'}
    settings = {'directory': '/nowhere', 'server': 'there'}

    def setUp(self):
        super().setUp()
        self.useFixture(folder.FolderKind())
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog, self.conf = self.fixture.catalog, self.fixture.conf
        self.conf.set_override('proxy_timeout', 30 * 24 * HOUR, 'server')
        self.conf.set_override('heartbeat_timeout', 30 * 24 * HOUR, 'server')
        self.clock = self.useFixture(clock_fixture.DatabaseClock(self.catalog))
        self.fixture.make_repository()
        self.create('one', folder.BACKEND)

    def create(self, name, backend, **values):
        storages.create(
            self.catalog,
            self.conf,
            name,
            folder.KIND,
            backends=[backend],
            settings=self.settings,
            credentials=self.credentials,
            **values,
        )

    def update(self, **values):
        # Not in the millisecond of what was before.
        self.clock.ahead += 0.1
        storages.update(self.catalog, self.conf, 'one', **values)
        self.clock.ahead += 0.1

    def announce(self, **values):
        self.fixture.announce(
            production=['attached', folder.KIND],
            **{'max_jobs': 16, **values},
        )

    def reserve(self, **volume):
        self.clock.ahead += 0.1
        _, job = self.fixture.reserve(
            volume={**folder.volume('volume'), **volume}
        )
        return job

    def handed(self, **volume):
        """A backup that a proxy has, or None."""
        job = self.reserve(**volume)
        self.announce()
        spec = self.fixture.assign().get(job.id)
        if spec is not None:
            self.fixture.renew(spec)
        return spec

    def refuse(self, spec):
        return self.fixture.finish(spec, 'failed', error=REFUSED)

    def succeed(self, spec, **result):
        self.fixture.commit(spec)
        result = {'kind': 'full', 'reduced': True, **result}
        self.fixture.finish(spec, result=result)

    def show(self, name='one'):
        return storages.show(self.catalog, name)

    def refusal(self, name='one'):
        return self.show(name).refusals.get(refusals.EVERYWHERE)

    def pause(self):
        """Seconds from now until the storage is asked again."""
        now = datetime.datetime.now(datetime.UTC)
        now += datetime.timedelta(seconds=self.clock.ahead)
        return (self.refusal().login_after - now).total_seconds()


class TestRefused(RefusalsTestCase):
    def test_next_job_fails_at_once(self):
        self.refuse(self.handed())
        job = self.reserve()
        self.announce()
        self.assertEqual({}, self.fixture.assign())
        found = self.fixture.job(job.id)
        self.assertEqual('failed', found.state)
        self.assertEqual('error', self.fixture.image(job.image_id).state)
        self.assertEqual(
            ('credentials-refused', False),
            (found.error['kind'], found.error['retryable']),
        )

    def test_it_is_told_since_when_until_when_and_what_to_do(self):
        self.refuse(self.handed())
        job = self.reserve()
        self.announce()
        self.fixture.assign()
        found = self.refusal()
        said = self.fixture.job(job.id).error['message']
        for part in (
            "Storage 'one' refuses",
            f'since {found.since:%Y-%m-%dT%H:%M:%S}Z',
            f'before {found.login_after:%Y-%m-%dT%H:%M:%S}Z',
            'openstack ebackup storage set one --credentials FILE',
        ):
            self.assertIn(part, said)
        self.assertLess(len(said), 256)

    def test_one_of_the_configuration_is_corrected_there(self):
        self.update(configured=True)
        self.refuse(self.handed())
        said = refusals.explain(self.show())
        self.assertIn('section [one], and restart the server', said)

    def test_message_is_never_longer_than_cinder_keeps(self):
        self.create('x' * 64, 'node@two')
        spec = self.handed(host='node@two#pool')
        self.refuse(spec)
        said = refusals.explain(self.show('x' * 64))
        self.assertLess(len(said), 256)

    def test_jobs_that_wait_for_room_fail_as_well(self):
        running = self.handed()
        self.refuse(self.handed())
        job = self.reserve()
        self.announce(max_jobs=1)
        self.fixture.assign()
        self.assertEqual('failed', self.fixture.job(job.id).state)
        self.assertEqual('running', self.fixture.job(running.id).state)

    def test_no_proxy_is_waited_for(self):
        self.refuse(self.handed())
        job = self.reserve()
        self.fixture.announce(production=['attached'])
        self.fixture.assign()
        found = self.fixture.job(job.id)
        self.assertEqual('credentials-refused', found.error['kind'])

    def test_other_storages_and_attached_volumes_are_left(self):
        self.create('two', 'node@two')
        self.refuse(self.handed())
        self.assertIsNotNone(self.handed(host='node@two#pool'))
        _, job = self.fixture.reserve()
        self.fixture.run(job.id)
        self.assertEqual('running', self.fixture.job(job.id).state)

    def test_other_errors_are_no_refusals(self):
        for kind in 'access-denied', 'volume-unknown', 'source-unavailable':
            error = messages.JobError(kind, 'why', False)
            self.fixture.finish(self.handed(), 'failed', error=error)
        self.assertIsNone(self.refusal())
        self.assertIsNotNone(self.handed())

    def test_job_that_was_cancelled_meanwhile_counts(self):
        spec = self.handed()
        jobs.cancel(self.catalog, spec.id)
        self.refuse(spec)
        self.assertEqual('cancelled', self.fixture.job(spec.id).state)
        self.assertIsNotNone(self.refusal())

    def test_proxy_that_lost_the_job_is_not_heard(self):
        spec = self.handed()
        self.assertFalse(
            self.refuse(
                messages.JobSpec(**{**vars(spec), 'token': spec.token - 1})
            ).accepted
        )
        self.assertIsNone(self.refusal())

    def test_restores_fail_as_well(self):
        spec = self.handed()
        self.succeed(spec)
        image = images.show(self.catalog, spec.image.id)
        self.refuse(self.handed())
        self.clock.ahead += 0.1
        job = self.fixture.restore(image, volume=folder.volume('target'))
        self.assertEqual({}, self.fixture.assign())
        error = self.fixture.job(job.id).error
        self.assertEqual('credentials-refused', error['kind'])

    def test_it_is_logged(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        self.refuse(self.handed())
        self.assertIn('Storage one refuses its credentials', log.output)
        self.assertIn('300 s', log.output)

    def test_second_server_knows_it_too(self):
        self.refuse(self.handed())
        job = self.reserve()
        conf = self.fixture.make_conf()
        other = catalog_fixture.upgraded(conf)
        self.addCleanup(other.close)
        clock = self.useFixture(clock_fixture.DatabaseClock(other))
        clock.ahead = self.clock.ahead
        self.announce()
        self.assertEqual([], dispatch.assign(other, conf))
        self.assertEqual('failed', self.fixture.job(job.id).state)


class TestPause(RefusalsTestCase):
    def test_it_is_asked_again_when_it_is_over(self):
        self.refuse(self.handed())
        self.clock.ahead += self.pause() - MINUTE
        self.assertIsNone(self.handed())
        self.clock.ahead += self.pause() + 0.1
        self.assertIsNotNone(self.handed())

    def test_it_grows_up_to_an_hour(self):
        pauses = []
        for _ in range(6):
            self.refuse(self.handed())
            pauses.append(round(self.pause() / MINUTE))
            self.clock.ahead += self.pause() + 0.1
        self.assertEqual([5, 10, 20, 40, 60, 60], pauses)

    def test_it_has_been_refused_since_the_first_time(self):
        self.refuse(self.handed())
        since = self.refusal().since
        self.clock.ahead += self.pause() + 0.1
        self.refuse(self.handed())
        found = self.refusal()
        self.assertEqual((since, 2), (found.since, found.count))

    def test_jobs_at_the_same_time_count_once(self):
        several = [self.handed() for _ in range(3)]
        self.refuse(several[0])
        before = self.refusal()
        self.clock.ahead += 1
        for spec in several[1:]:
            self.refuse(spec)
        self.assertEqual(before, self.refusal())
        self.assertEqual(1, before.count)

    def test_longer_one_does_not_grow(self):
        self.conf.set_override('login_pause', 5 * HOUR, 'server')
        for _ in range(2):
            self.refuse(self.handed())
            self.assertEqual(5, round(self.pause() / HOUR))
            self.clock.ahead += self.pause() + 0.1

    def test_without_one_each_job_asks(self):
        self.conf.set_override('login_pause', 0.0, 'server')
        for _ in range(3):
            spec = self.handed()
            self.refuse(spec)
            self.assertIsNotNone(self.refusal())
            self.clock.ahead += 0.1


class TestForgotten(RefusalsTestCase):
    def assert_asked(self):
        self.assertEqual({}, self.show().refusals)
        self.assertIsNotNone(self.handed())

    def test_with_other_credentials(self):
        self.refuse(self.handed())
        self.update(credentials={'key': 'right'})
        self.assert_asked()

    def test_with_the_same_ones_after_the_account_was_unlocked(self):
        self.refuse(self.handed())
        self.update(credentials=self.credentials)
        self.assert_asked()

    def test_with_other_settings(self):
        self.refuse(self.handed())
        self.update(settings={'directory': '/elsewhere'})
        self.assert_asked()

    def test_not_with_anything_else(self):
        self.refuse(self.handed())
        before = self.refusal()
        self.update(trust='shadow', anchors=False)
        storages.reencrypt(self.catalog, self.conf)
        self.assertEqual(before, self.refusal())
        self.assertIsNone(self.handed())

    def test_refusal_of_credentials_that_were_replaced_does_not_count(self):
        spec = self.handed()
        self.update(credentials={'key': 'right'})
        self.refuse(spec)
        self.assert_asked()

    def test_refusal_that_is_noted_just_then_does_not_count(self):
        """They are replaced between the look and the note."""
        spec = self.handed()
        before = self.show()
        self.update(credentials={'key': 'right'})
        with fixtures.MonkeyPatch(
            'ebackup_service.server.volume_storages.of_job',
            lambda session, job: before,
        ):
            self.refuse(spec)
        self.assert_asked()

    def test_when_a_job_has_succeeded(self):
        self.refuse(self.handed())
        self.clock.ahead += self.pause() + 0.1
        self.succeed(self.handed())
        self.assert_asked()

    def test_when_a_job_has_found_its_volume(self):
        self.refuse(self.handed())
        self.clock.ahead += self.pause() + 0.1
        spec = self.handed()
        plan = snapshots.plan(self.catalog, spec.id, spec.token, 'lun')
        self.assertTrue(plan.accepted)
        self.assert_asked()

    def test_not_by_a_job_that_had_logged_in_before(self):
        """It has a connection that it goes on with."""
        earlier = self.handed()
        self.refuse(self.handed())
        before = self.refusal()
        self.clock.ahead += 1
        self.succeed(earlier)
        self.assertEqual(before, self.refusal())


class ReleaseTestCase(RefusalsTestCase):
    """Snapshots of ours that are to be removed."""

    def setUp(self):
        super().setUp()
        self.volume_id = catalog_fixture.new_id()
        for number in '12':
            self.back_up(number)

    def back_up(self, snapshot_id):
        self.clock.ahead += 0.1
        _, job = self.fixture.reserve(
            volume_id=self.volume_id, volume=folder.volume('volume')
        )
        self.announce()
        spec = self.fixture.assign()[job.id]
        self.fixture.renew(spec)
        plan = snapshots.plan(self.catalog, spec.id, spec.token, 'lun')
        snapshots.taken(
            self.catalog, spec.id, spec.token, plan.name, snapshot_id
        )
        self.succeed(spec)

    def release(self):
        """What is handed out to remove them."""
        self.clock.ahead += 0.1
        self.announce()
        snapshots.schedule(self.catalog, self.conf)
        return [
            spec
            for spec in self.fixture.assign().values()
            if spec.kind == 'release'
        ]

    def begun(self):
        [spec] = self.release()
        self.fixture.renew(spec)
        return spec


class TestRelease(ReleaseTestCase):
    def test_they_wait(self):
        self.refuse(self.handed())
        self.assertEqual([], self.release())
        self.assertEqual(
            [], jobs.list(self.catalog, kind='release')[0], 'none was made'
        )
        self.clock.ahead += self.pause() + 0.1
        self.assertEqual(1, len(self.release()))

    def test_job_that_was_made_before_fails(self):
        spec = self.handed()
        snapshots.schedule(self.catalog, self.conf)
        [job], _ = jobs.list(self.catalog, kind='release')
        self.refuse(spec)
        self.assertEqual({}, self.fixture.assign())
        self.assertEqual('failed', self.fixture.job(job.id).state)

    def test_their_refusal_counts(self):
        self.refuse(self.begun())
        self.assertIsNotNone(self.refusal())
        self.assertIsNone(self.handed())

    def login(self, **result):
        self.refuse(self.handed())
        self.clock.ahead += self.pause() + 0.1
        spec = self.begun()
        released = [one.id for one in spec.release]
        self.fixture.finish(spec, result={'released': released, **result})

    def test_removal_is_a_login(self):
        self.login()
        self.assertIsNone(self.refusal())

    def test_nothing_to_remove_is_none(self):
        self.login(released=[])
        self.assertIsNotNone(self.refusal())
