# SPDX-License-Identifier: Apache-2.0
import threading
import time
from unittest import mock
import uuid

from ebackup_service.api import waits
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages
from ebackup_service.rpc import topics
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import proxy as proxy_rows
from ebackup_service.server import dispatch
from ebackup_service.server import jobs
from ebackup_service.server import storages
from tests.unit.ebackup_service.api import base
from tests.unit.ebackup_service import connector_fixture

ATTACHMENT = {'kind': 'attached', 'host': 'node1', 'path': '/dev/sdb'}


class JobTestCase(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.image = self.reserve()
        self.job = self.answer(200, 'GET', f'/v1/images/{self.image}')[
            'image'
        ]['job_id']
        self.path = f'/v1/jobs/{self.job}'
        self.woken = 0


class ShowTest(JobTestCase):
    def test_reader_of_the_project_sees_it(self):
        job = self.answer(200, 'GET', self.path, caller='reader')['job']
        self.assertEqual('pending', job['state'])
        self.assertEqual('default', job['repository'])
        self.assertIsNone(job['error'])

    def test_other_project_cannot_tell_it_from_an_unknown_one(self):
        unknown = str(uuid.uuid4())
        answers = [
            self.error(404, 'GET', f'/v1/jobs/{job}', caller='stranger')
            for job in (self.job, unknown)
        ]
        answers[1]['message'] = answers[1]['message'].replace(
            unknown, self.job
        )
        self.assertEqual(answers[0], answers[1])

    def test_job_of_no_project_is_the_operators(self):
        self.make_repository('second')
        found = self.answer(200, 'GET', '/v1/jobs?kind=create')['jobs']
        path = f'/v1/jobs/{found[0]["id"]}'
        self.assertIsNone(found[0]['project_id'])
        self.answer(200, 'GET', path, caller='admin')
        self.error(404, 'GET', path, caller='reader')

    def test_progress_is_shown(self):
        with self.catalog.writer() as session:
            job_rows.update(
                session,
                self.job,
                job_rows.UNFINISHED,
                progress={'percent': 12.5, 'rate': 1000.0, 'secret': 1},
            )
        progress = self.answer(200, 'GET', self.path)['job']['progress']
        self.assertEqual(12.5, progress['percent'])
        self.assertIsNone(progress['remaining'])
        self.assertNotIn('secret', progress)


class ListTest(JobTestCase):
    def setUp(self):
        super().setUp()
        self.reserve(project_id=base.OTHER)

    def _kinds(self, query='', caller='reader'):
        answer = self.answer(200, 'GET', f'/v1/jobs{query}', caller=caller)
        return sorted(job['kind'] for job in answer['jobs'])

    def test_reader_sees_the_own_project(self):
        self.assertEqual(['backup'], self._kinds())

    def test_reader_gets_no_other_project(self):
        query = f'?project_id={base.OTHER}'
        self.error(403, 'GET', f'/v1/jobs{query}', caller='reader')

    def test_admin_sees_everything(self):
        everything = ['backup', 'backup', 'create']
        self.assertEqual(everything, self._kinds('', 'admin'))
        query = f'?project_id={base.OWN}'
        self.assertEqual(['backup'], self._kinds(query, 'admin'))

    def test_filters(self):
        for query, kinds in (
            (f'?image_id={self.image}', ['backup']),
            ('?kind=create', ['create']),
            ('?state=succeeded', ['create']),
            ('?state=running', []),
        ):
            self.assertEqual(kinds, self._kinds(query, 'admin'))

    def test_pages_have_every_job_once(self):
        found, query = [], '?limit=2'
        while query:
            answer = self.answer(200, 'GET', f'/v1/jobs{query}')
            found += [job['id'] for job in answer['jobs']]
            marker = answer['next']
            query = marker and f'?limit=2&marker={marker}'
        self.assertEqual(3, len(found))
        self.assertEqual(3, len(set(found)))


class AttachTest(JobTestCase):
    def _attach(self, status, **changes):
        body = {'attachment': ATTACHMENT | changes}
        return self.answer(status, 'PUT', f'{self.path}/attachment', body)

    def test_job_needs_nothing_any_more(self):
        self.assertIsNone(self._attach(202)['job']['needs'])
        self.assertEqual(1, self.woken)

    def test_again_changes_nothing(self):
        self._attach(202)
        self._attach(202)

    def test_another_attachment_is_a_conflict(self):
        self._attach(202)
        error = self._attach(409, path='/dev/sdc')['error']
        self.assertEqual('attachment-differs', error['kind'])

    def test_path_is_not_shown_to_readers(self):
        self._attach(202)
        response = self.request('GET', self.path, caller='reader')
        self.assertNotIn('/dev/sdb', response.text)

    def test_driver_may_hold_the_volume(self):
        self._attach(202, lock=(1 << 53) - 1)
        for wrong in -1, 1 << 63, '7', None:
            error = self._attach(400, lock=wrong)['error']
            self.assertIn('body.attachment.lock', error['message'])

    def test_driver_may_know_what_changed(self):
        changes = {'since': str(uuid.uuid4()), 'extents': [[0, 7], [9, 1]]}
        self._attach(202, changes=changes)
        for wrong in (
            None,
            {'since': changes['since']},
            {**changes, 'since': 'yesterday'},
            {**changes, 'extents': [[1]]},
            {**changes, 'extents': [[-1, 1]]},
            {**changes, 'extents': [[0, 1]] * 4097},
        ):
            error = self._attach(400, changes=wrong)['error']
            self.assertIn('body.attachment.changes', error['message'])

    def test_relative_path_is_refused(self):
        error = self._attach(400, path='dev/sdb')['error']
        self.assertIn('body.attachment.path', error['message'])

    def test_unknown_job(self):
        body = {'attachment': ATTACHMENT}
        path = f'/v1/jobs/{uuid.uuid4()}/attachment'
        self.error(404, 'PUT', path, body)


class ConnectTest(base.ApiTestCase):
    """Of a volume that Cinder exports to the proxy."""

    def setUp(self):
        super().setUp()
        self.make_repository()
        storages.create(
            self.catalog,
            self.conf,
            'any',
            'connector',
            backends=[connector_fixture.BACKEND],
        )
        self.volume_id = str(uuid.uuid4())
        self.volume = {
            'id': self.volume_id,
            'size': base.GIB,
            **connector_fixture.volume('snapshot', self.volume_id),
        }
        self.job = self._reserve()['id']
        self.path = f'/v1/jobs/{self.job}'
        self.body = {
            'attachment': {
                'kind': 'connector',
                'host': 'node1',
                'connection': connector_fixture.CONNECTION,
            }
        }

    def _reserve(self):
        body = {'image': base.image_request(volume=self.volume)}
        path = f'/v1/images/{uuid.uuid4()}'
        return self.answer(202, 'PUT', path, body)['job']

    def _hand_out(self):
        with self.catalog.writer() as session:
            proxy_rows.announce(
                session,
                'node1',
                '1',
                {
                    'production': ['connector'],
                    'connector': connector_fixture.CONNECTOR,
                    'messages': topics.VERSION,
                },
            )
        dispatch.assign(self.catalog, self.conf)

    def _show(self, caller='service'):
        return self.answer(200, 'GET', self.path, caller=caller)['job']

    def _connect(self, status=202, **changes):
        attachment = self.body['attachment'] | changes
        body = {'attachment': attachment}
        return self.answer(status, 'PUT', f'{self.path}/attachment', body)

    def test_job_shows_to_what_it_needs_the_volume_exported(self):
        job = self._show()
        self.assertEqual((None, None), (job['needs'], job['connector']))
        self._hand_out()
        job = self._show()
        self.assertEqual('connection', job['needs'])
        self.assertEqual('node1', job['proxy'])
        self.assertEqual(
            {**connector_fixture.CONNECTOR, 'multipath': False},
            job['connector'],
        )
        beaten = self.answer(200, 'POST', f'{self.path}/heartbeat')['job']
        self.assertEqual(job['connector'], beaten['connector'])
        # What hosts are called is nobody else's business.
        for caller in ('reader', 'admin'):
            self.assertNotIn('connector', self._show(caller))

    def test_proxy_gets_the_connection(self):
        self._hand_out()
        job = self._connect()['job']
        self.assertEqual((None, None), (job['needs'], job['connector']))
        self.assertEqual(
            [('node1', self.job, 1, connector_fixture.CONNECTION)],
            self.connected,
        )
        for caller in ('service', 'reader'):
            response = self.request('GET', self.path, caller=caller)
            self.assertNotIn(connector_fixture.SECRET, response.text)

    def test_proxy_that_does_not_answer(self):
        self._hand_out()
        self.decision = rpc_errors.PeerUnreachable('away')
        error = self._connect(503)['error']
        self.assertEqual('proxy-unavailable', error['kind'])

    def test_proxy_that_does_not_have_the_job(self):
        self._hand_out()
        self.decision = messages.Decision(False, 'It is not here.')
        error = self._connect(409)['error']
        self.assertEqual('connection-refused', error['kind'])

    def test_what_is_no_connection_is_refused_and_not_quoted(self):
        self._hand_out()
        secret = connector_fixture.SECRET
        for broken in (
            None,
            secret,
            {'data': {'auth_password': secret}},
            {'driver_volume_type': [secret], 'data': {}},
            {'driver_volume_type': 'no type!', 'data': {}},
            {'driver_volume_type': 'iscsi', 'data': secret},
            {'driver_volume_type': 'iscsi', 'data': {}, 'more': secret},
        ):
            error = self._connect(400, connection=broken)['error']
            self.assertIn('body.attachment.connection', error['message'])
            self.assertNotIn(secret, str(error))

    def test_only_the_service_may(self):
        self._hand_out()
        path = f'{self.path}/attachment'
        self.error(403, 'PUT', path, self.body, caller='admin')
        self.error(403, 'DELETE', path, caller='reader')

    def test_next_job_of_the_volume_tells_what_may_be_exported_still(self):
        self._hand_out()
        self.end_jobs('failed')
        (left,) = self._reserve()['connections']
        self.assertEqual(self.job, left['job_id'])
        self.assertEqual(
            {'type': 'snapshot', 'id': self.volume_id}, left['exported']
        )
        self.assertEqual('here', left['connector']['host'])

    def test_a_job_tells_it_as_of_now(self):
        self._hand_out()
        self.path = f'/v1/jobs/{self._reserve()["id"]}'
        self.assertEqual([], self._show()['connections'])
        self.end_jobs('failed')
        (left,) = self._show()['connections']
        self.assertEqual(self.job, left['job_id'])
        for caller in ('reader', 'admin'):
            self.assertNotIn('connections', self._show(caller))
        self._reserve()
        self._hand_out()
        self.assertEqual([], self._show()['connections'])

    def _listed(self, caller='admin', query='exported=true'):
        answer = self.request('GET', f'/v1/jobs?{query}', caller=caller)
        self.assertNotIn(connector_fixture.CONNECTOR['initiator'], answer.text)
        return answer.json['jobs']

    def _age(self, seconds):
        with self.catalog.writer() as session:
            job_rows.update(
                session,
                self.job,
                job_rows.STATES,
                finished_at=clock.now() - clock.milliseconds(seconds),
            )

    def test_operator_sees_what_is_left_exported(self):
        self._hand_out()
        exported = [
            {'type': 'snapshot', 'id': self.volume_id, 'proxy': 'node1'}
        ]
        self.assertEqual(exported, self._show('admin')['exported'])
        # Not what is in use.
        self.assertEqual([], self._listed())
        self.end_jobs('failed')
        # Nor what its driver may be about to end.
        self._age(69)
        self.assertEqual([], self._listed())
        self._age(71)
        (job,) = self._listed()
        self.assertEqual(self.job, job['id'])
        self.assertEqual(exported, job['exported'])
        self.assertEqual([], self._listed('stranger'))
        self.answer(204, 'DELETE', f'{self.path}/attachment')
        self.assertEqual([], self._listed())
        self.assertEqual([], self._show('admin')['exported'])

    def test_all_jobs_tell_what_is_exported(self):
        self._hand_out()
        found = self._listed('service', 'exported=false&limit=100')
        exported = {job['id']: len(job['exported']) for job in found}
        self.assertEqual(1, exported.pop(self.job))
        self.assertNotEqual([], list(exported))
        self.assertEqual({0}, set(exported.values()))

    def test_driver_is_told_what_to_end(self):
        self._hand_out()
        path = f'{self.path}/detach'
        error = self.error(409, 'POST', path)
        self.assertEqual('job-unfinished', error['kind'])
        self.end_jobs('failed')
        (left,) = self.answer(200, 'POST', path)['connections']
        self.assertEqual(
            {'type': 'snapshot', 'id': self.volume_id}, left['exported']
        )
        self.assertEqual('here', left['connector']['host'])
        error = self.error(409, 'POST', path)
        self.assertEqual('export-ending', error['kind'])
        self.error(400, 'POST', path, {'x': 1})
        for caller in 'admin', 'reader':
            self.error(403, 'POST', path, caller=caller)

    def test_until_it_is_ended(self):
        self._hand_out()
        path = f'{self.path}/attachment'
        error = self.error(409, 'DELETE', path)
        self.assertEqual('job-unfinished', error['kind'])
        self.end_jobs('failed')
        self.answer(204, 'DELETE', path)
        self.answer(204, 'DELETE', path)
        self.assertEqual([], self._reserve()['connections'])


class HeartbeatTest(JobTestCase):
    def test_beat_answers_with_the_job(self):
        job = self.answer(200, 'POST', f'{self.path}/heartbeat')['job']
        self.assertEqual(self.job, job['id'])
        self.assertEqual(0, self.woken)

    def test_empty_object_is_fine_anything_else_is_not(self):
        self.answer(200, 'POST', f'{self.path}/heartbeat', {})
        self.error(400, 'POST', f'{self.path}/heartbeat', {'x': 1})

    def test_unknown_job(self):
        self.error(404, 'POST', f'/v1/jobs/{uuid.uuid4()}/heartbeat')

    def test_waits_for_the_end(self):
        self._without_needs()
        job = self._beaten_while(
            lambda: jobs.cancel(self.catalog, self.job), wait=5
        )
        self.assertEqual('cancelled', job['state'])

    def test_waits_until_the_driver_is_needed(self):
        self._without_needs()
        job = self._beaten_while(
            lambda: self._change(needs='attachment'), wait=4.5
        )
        self.assertEqual('attachment', job['needs'])

    def test_counts_when_it_comes_and_not_while_it_waits(self):
        """Whoever sent it may be gone by then."""
        self._change(needs=None, beat_at=1)
        came = []

        def happens():
            came.append(self._beat_at())
            self._change(needs='attachment', beat_at=2)

        self._beaten_while(happens, wait=5)
        self.assertGreater(came[0], 1)
        self.assertEqual(2, self._beat_at())

    def test_waits_no_longer_than_it_is_asked_to(self):
        self._without_needs()
        path = f'{self.path}/heartbeat'
        naps = []
        clock = mock.Mock(sleep=naps.append, monotonic=lambda: sum(naps))
        waited = {'': 0, '?wait=0': 0, '?wait=0.125': 0.125}
        for query, seconds in waited.items():
            naps.clear()
            with mock.patch.object(waits, 'time', clock):
                job = self.answer(200, 'POST', path + query)['job']
            self.assertEqual('pending', job['state'])
            self.assertAlmostEqual(seconds, sum(naps))

    def test_who_is_needed_does_not_wait(self):
        self._change(needs='attachment')
        with self._sleep(self.fail):
            self.answer(200, 'POST', f'{self.path}/heartbeat?wait=5')

    def test_refuses_to_wait_for_ever(self):
        for wait in ('5.1', '-1', 'x', '', 'inf', 'nan', '1e3', '1' * 4000):
            message = self.error(
                400, 'POST', f'{self.path}/heartbeat?wait={wait}'
            )['message']
            self.assertIn('query.wait', message)
        self.error(400, 'POST', f'{self.path}/heartbeat?until=1')

    def _without_needs(self):
        self._change(needs=None)

    def _change(self, **values):
        with self.catalog.writer() as session:
            job_rows.update(session, self.job, ('pending',), **values)

    def _beat_at(self):
        return jobs.show(self.catalog, self.job).beat_at

    @staticmethod
    def _sleep(sleep):
        clock = mock.Mock(wraps=time, sleep=sleep)
        return mock.patch.object(waits, 'time', clock)

    def _beaten_while(self, happens, wait):
        """The answer to a beat; it happens while the beat waits.

        And is seen at the next look.
        """
        happened = threading.Event()

        def sleep(seconds):
            if happened.is_set():
                self.fail('It waits still.')
            happened.set()
            happens()

        with self._sleep(sleep):
            answer = self.answer(
                200, 'POST', f'{self.path}/heartbeat?wait={wait}'
            )
        self.assertTrue(happened.is_set())
        return answer['job']


class CancelTest(JobTestCase):
    def test_pending_job_is_cancelled(self):
        job = self.answer(202, 'POST', f'{self.path}/cancel')['job']
        self.assertEqual('cancelled', job['state'])
        self.assertEqual('cancelled', job['error']['kind'])
        self.assertEqual(1, self.woken)

    def test_again_is_the_same(self):
        self.answer(202, 'POST', f'{self.path}/cancel', caller='admin')
        self.answer(202, 'POST', f'{self.path}/cancel', caller='admin')
