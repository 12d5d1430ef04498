# SPDX-License-Identifier: Apache-2.0
import functools
import json

import sqlalchemy as sa

from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import models
from ebackup_service.server import connections
from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import leases
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import connector_fixture

CONNECTION = connector_fixture.CONNECTION
CONNECTOR = connector_fixture.CONNECTOR


class ConnectionsTestCase(base.BaseTestCase):
    settings: dict = {}

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog, self.conf = self.fixture.catalog, self.fixture.conf
        self.fixture.make_repository()
        connector_fixture.register(self.fixture, **self.settings)
        self.volume_id = catalog_fixture.new_id()
        self.given = []
        self.decision = messages.Decision(True)

    def reserve(self, **values):
        self.image, job = self.fixture.reserve(
            volume_id=self.volume_id, volume=connector_fixture.volume(**values)
        )
        return job

    def assign(self, job, host='here'):
        connector_fixture.announce(self.fixture, host)
        return self.fixture.assign()[job.id]

    def connect(self, *arguments):
        self.given.append(arguments)
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision

    def hand_over(self, job, host='here', connection=CONNECTION):
        return connections.hand_over(
            self.catalog, self.connect, job.id, host, connection
        )

    def refused(self, kind, code, *arguments, **values):
        error = self.assertRaises(
            errors.ServerError, self.hand_over, *arguments, **values
        )
        self.assertEqual((kind, code), (error.kind, error.code))
        self.assertNotIn(connector_fixture.SECRET, str(error))
        return str(error)

    def left(self):
        return connections.left(self.catalog, self.volume_id)

    def fail(self, spec):
        error = messages.JobError('any', 'It failed.')
        self.fixture.finish(spec, 'failed', error=error)


class TestExpected(ConnectionsTestCase):
    settings = {'multipath': True}

    def test_job_waits_for_a_proxy_and_then_for_the_connection(self):
        job = self.reserve(kind='snapshot', exported=self.volume_id)
        self.assertIsNone(job.needs)
        spec = self.assign(job)
        self.assertIsNone(spec.attachment)
        self.assertEqual(60.0, spec.attachment_timeout)
        self.assertEqual('connector', spec.storage.kind)
        job = self.fixture.job(job.id)
        self.assertEqual(('running', 'connection'), (job.state, job.needs))
        self.assertEqual(
            {
                'kind': 'connector',
                'host': 'here',
                'connector': {**CONNECTOR, 'multipath': True},
                'exported': {'type': 'snapshot', 'id': self.volume_id},
            },
            job.attachment,
        )

    def test_proxy_without_os_brick_gets_no_such_job(self):
        job = self.reserve()
        self.fixture.announce('here')
        self.assertEqual({}, self.fixture.assign())
        self.assertEqual('pending', self.fixture.job(job.id).state)

    def test_driver_that_says_not_what_is_exported_attaches(self):
        _, job = self.fixture.reserve(
            volume={'host': connector_fixture.HOST, 'backend_name': 'v'}
        )
        self.assertEqual('attachment', job.needs)

    def test_image_has_the_size_of_what_cinder_attached(self):
        snapshot = {
            'id': catalog_fixture.new_id(),
            'name': 's',
            'size': catalog_fixture.CHUNK,
        }
        image, _ = self.fixture.reserve(
            size=2 * catalog_fixture.CHUNK,
            volume=connector_fixture.volume(snapshot=snapshot),
        )
        self.assertEqual(2 * catalog_fixture.CHUNK, image.size)

    def test_job_that_moves_needs_another_connection(self):
        job = self.reserve()
        spec = self.assign(job)
        self.fixture.renew(spec)
        self.hand_over(job)
        self.fixture.age(job.id, 0)
        self.fixture.finish(spec, 'returned')
        job = self.fixture.job(job.id)
        self.assertEqual(
            ('pending', None, None), (job.state, job.needs, job.attachment)
        )
        self.fixture.age_proxy('here', 1000)
        self.assign(job, 'there')
        job = self.fixture.job(job.id)
        self.assertEqual('connection', job.needs)
        self.assertEqual('there', job.attachment['host'])

    def test_restore(self):
        job = self.reserve()
        spec = self.assign(job)
        self.fixture.renew(spec)
        self.hand_over(job)
        self.fixture.commit(spec)
        self.fixture.finish(spec, result={})
        job = self.fixture.restore(
            self.fixture.image(self.image.id),
            volume=connector_fixture.volume(exported=self.volume_id),
        )
        self.assertIsNone(job.needs)
        self.assign(job)
        job = self.fixture.job(job.id)
        self.assertEqual('connection', job.needs)
        self.assertEqual(self.volume_id, job.attachment['exported']['id'])


class TestHandOver(ConnectionsTestCase):
    def setUp(self):
        super().setUp()
        self.job = self.reserve()
        self.spec = self.assign(self.job)
        self.fixture.renew(self.spec)

    def test_proxy_gets_it(self):
        job = self.hand_over(self.job)
        self.assertIsNone(job.needs)
        self.assertEqual(
            [('here', self.job.id, self.spec.token, CONNECTION)], self.given
        )

    def test_again_it_has_it_already(self):
        self.hand_over(self.job)
        self.assertIsNone(self.hand_over(self.job).needs)
        self.assertEqual(1, len(self.given))

    def test_it_is_kept_nowhere(self):
        self.hand_over(self.job)
        with self.catalog.reader() as session:
            for table in models.Base.metadata.sorted_tables:
                for row in session.execute(sa.select(table)):
                    self.assertNotIn(connector_fixture.SECRET, str(row))

    def test_proxy_does_not_have_the_job(self):
        self.decision = messages.Decision(False, 'Proxy here has it not.')
        self.refused('connection-refused', 409, self.job)
        self.assertEqual('connection', self.fixture.job(self.job.id).needs)

    def test_proxy_does_not_answer(self):
        self.decision = rpc_errors.PeerUnreachable(str(CONNECTION))
        message = self.refused('proxy-unavailable', 503, self.job)
        self.assertIn('here', message)
        self.assertEqual('connection', self.fixture.job(self.job.id).needs)

    def test_for_another_proxy(self):
        self.refused('attachment-differs', 409, self.job, 'there')
        self.assertEqual([], self.given)

    def test_job_that_was_taken_back(self):
        self.fixture.finish(self.spec, 'returned')
        self.refused('attachment-unneeded', 409, self.job)

    def test_job_that_has_ended(self):
        self.fail(self.spec)
        message = self.refused('job-ended', 409, self.job)
        self.assertIn('It failed.', message)

    def test_unknown_job(self):
        self.job = self.job.__class__(
            **{**vars(self.job), 'id': catalog_fixture.new_id()}
        )
        self.refused('job-unknown', 404, self.job)

    def test_too_large(self):
        data = {'x': 'x' * connections.LARGEST}
        large = {'driver_volume_type': 'iscsi', 'data': data}
        self.assertLess(connections.LARGEST, len(json.dumps(large)))
        self.refused('connection-size', 400, self.job, connection=large)

    def test_job_with_an_attachment(self):
        _, job = self.fixture.reserve()
        self.refused('attachment-unneeded', 409, job)

    def test_attached_is_no_connection(self):
        attach = functools.partial(self.fixture.attach, self.job.id)
        error = self.assertRaises(errors.Conflict, attach)
        self.assertEqual('attachment-differs', error.kind)


class TestLease(ConnectionsTestCase):
    """While a connection is made nobody beats, and nothing is read."""

    def setUp(self):
        super().setUp()
        server = self.conf.set_override
        server('heartbeat_timeout', 10.0, 'server')
        server('attachment_timeout', 60.0, 'server')
        server('lease', 15.0, 'server')
        self.job = self.reserve()
        self.spec = self.assign(self.job)

    def renew(self, **progress):
        return leases.renew(
            self.catalog, self.conf, self.job.id, self.spec.token, progress
        )

    def without_beat(self, seconds):
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Job)
                .where(models.Job.id == self.job.id)
                .values(beat_at=models.Job.beat_at - round(seconds * 1000))
            )

    def test_driver_may_take_its_time(self):
        self.without_beat(50)
        self.assertTrue(self.renew().granted)

    def test_not_for_ever(self):
        self.renew()
        self.without_beat(71)
        self.assertEqual('heartbeat-lost', self.renew().reason)

    def test_once_it_is_made_the_beat_counts(self):
        self.renew()
        self.without_beat(50)
        self.hand_over(self.job)
        # Handing it over was a beat.
        grant = self.renew(connected=True)
        self.assertTrue(grant.granted)
        self.assertLessEqual(grant.seconds, 10.0)
        self.without_beat(11)
        self.assertEqual('heartbeat-lost', self.renew().reason)

    def test_proxy_says_that_it_has_it_where_the_api_did_not(self):
        self.renew()
        grant = self.renew(connected=True, percent=1)
        self.assertLessEqual(grant.seconds, 10.0)
        job = self.fixture.job(self.job.id)
        self.assertIsNone(job.needs)
        self.assertEqual({'percent': 1}, job.progress)
        self.without_beat(11)
        self.assertEqual('heartbeat-lost', self.renew().reason)

    def test_one_that_got_it_from_a_driver_that_is_gone_does_not_begin(self):
        self.renew()
        self.without_beat(11)
        self.assertTrue(self.renew().granted)
        refusal = self.renew(connected=True)
        self.assertEqual('heartbeat-lost', refusal.reason)


class TestLeft(ConnectionsTestCase):
    def test_nothing_of_a_job_that_goes_on(self):
        job = self.reserve()
        self.assign(job)
        self.assertEqual([], self.left())

    def test_each_proxy_that_an_ended_job_had(self):
        job = self.reserve(kind='snapshot', exported=self.volume_id)
        for host in ('here', 'there'):
            spec = self.assign(job, host)
            self.fixture.renew(spec)
            self.fixture.finish(spec, 'returned')
            self.fixture.age_proxy(host, 1000)
        self.assertEqual([], self.left())
        jobs.cancel(self.catalog, job.id)
        self.assertEqual(
            [(job.id, 'snapshot', self.volume_id, 'here')]
            + [(job.id, 'snapshot', self.volume_id, 'there')],
            [
                (c.job_id, c.exported_type, c.exported_id, c.proxy)
                for c in self.left()
            ],
        )
        self.assertEqual('there', self.left()[1].connector['host'])

    def end(self, job, host='here', state='failed'):
        spec = self.assign(job, host)
        self.fixture.renew(spec)
        self.fixture.finish(spec, state)

    def test_nothing_that_another_job_uses(self):
        left = self.reserve(exported=self.volume_id)
        self.end(left)
        user = self.reserve(exported=self.volume_id)
        self.assertEqual([left.id], [one.job_id for one in self.left()])
        self.assign(user)
        self.assertEqual([], self.left())
        # The last to use it names it.
        jobs.cancel(self.catalog, user.id)
        self.assertEqual(
            [left.id, user.id], [one.job_id for one in self.left()]
        )

    def test_nothing_that_another_job_has_used_and_may_have_still(self):
        self.end(self.reserve(exported=self.volume_id))
        user = self.reserve(exported=self.volume_id)
        self.end(user, state='returned')
        self.assertEqual('pending', self.fixture.job(user.id).state)
        self.assertEqual([], self.left())

    def test_what_another_job_has_differently(self):
        left = self.reserve(exported=self.volume_id)
        self.end(left)
        self.assign(self.reserve(kind='snapshot', exported=self.volume_id))
        self.assign(self.reserve())
        self.fixture.age_proxy('here', 1000)
        self.assign(self.reserve(exported=self.volume_id), 'there')
        self.assertEqual([left.id], [one.job_id for one in self.left()])

    def test_all_of_a_job_or_nothing(self):
        left = self.reserve(exported=self.volume_id)
        self.end(left, state='returned')
        self.fixture.age_proxy('here', 1000)
        self.end(left, 'there')
        self.assertEqual(2, len(self.left()))
        self.assign(self.reserve(exported=self.volume_id), 'there')
        self.assertEqual([], self.left())

    def test_job_without_a_volume(self):
        self.assertEqual([], connections.left(self.catalog, None))

    def test_until_the_driver_says_that_it_is_ended(self):
        job = self.reserve()
        spec = self.assign(job)
        error = self.assertRaises(
            errors.Conflict, connections.forget, self.catalog, job.id
        )
        self.assertEqual('job-unfinished', error.kind)
        self.fixture.renew(spec)
        self.fail(spec)
        self.assertEqual(1, len(self.left()))
        connections.forget(self.catalog, job.id)
        connections.forget(self.catalog, job.id)
        self.assertEqual([], self.left())

    def test_of_a_job_that_nobody_knows_any_more(self):
        job = self.reserve()
        spec = self.assign(job)
        self.fixture.renew(spec)
        self.fail(spec)
        with self.catalog.writer() as session:
            session.execute(
                sa.delete(models.Job).where(models.Job.id == job.id)
            )
        self.assertEqual(1, len(self.left()))
        connections.forget(self.catalog, job.id)
        self.assertEqual([], self.left())
