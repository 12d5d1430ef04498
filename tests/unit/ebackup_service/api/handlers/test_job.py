# SPDX-License-Identifier: Apache-2.0
import uuid

from ebackup_service.server.catalog import job as job_rows
from tests.unit.ebackup_service.api import base

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


class CancelTest(JobTestCase):
    def test_pending_job_is_cancelled(self):
        job = self.answer(202, 'POST', f'{self.path}/cancel')['job']
        self.assertEqual('cancelled', job['state'])
        self.assertEqual('cancelled', job['error']['kind'])
        self.assertEqual(1, self.woken)

    def test_again_is_the_same(self):
        self.answer(202, 'POST', f'{self.path}/cancel', caller='admin')
        self.answer(202, 'POST', f'{self.path}/cancel', caller='admin')
