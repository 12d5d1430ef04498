# SPDX-License-Identifier: Apache-2.0
import uuid

from tests.unit.ebackup_service.api import base

JOB = '99999999-2222-4333-8444-555555555555'


class RestoreTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.image = self.make_image()
        self.asked = {
            'image_id': self.image,
            'project_id': base.OWN,
            'volume': {'id': str(uuid.uuid4()), 'size': base.GIB},
            'volume_is_new': False,
        }
        self.woken = 0

    def _put(self, status, job_id=JOB, **changes):
        body = {'restore': self.asked | changes}
        return self.answer(status, 'PUT', f'/v1/restores/{job_id}', body)

    def test_job_waits_for_the_attachment(self):
        job = self._put(202)['job']
        self.assertEqual(JOB, job['id'])
        self.assertEqual('restore', job['kind'])
        self.assertEqual('attachment', job['needs'])
        self.assertEqual(1, self.woken)

    def test_again_is_the_same_job(self):
        self.assertEqual(self._put(202), self._put(202))

    def test_same_id_for_something_else_is_a_conflict(self):
        self._put(202)
        error = self._put(409, volume_is_new=True)['error']
        self.assertEqual('fingerprint-mismatch', error['kind'])

    def test_other_projects_image_is_unknown(self):
        self._put(404, project_id=base.OTHER)

    def test_volume_that_is_too_small(self):
        volume = {'id': str(uuid.uuid4()), 'size': base.GIB - 1}
        error = self._put(400, volume=volume)['error']
        self.assertEqual('volume-too-small', error['kind'])

    def test_volume_that_another_job_uses(self):
        self._put(202)
        error = self._put(409, str(uuid.uuid4()))['error']
        self.assertEqual('volume-busy', error['kind'])

    def test_zone_that_differs_is_shown_in_the_job(self):
        volume = {'id': str(uuid.uuid4()), 'size': base.GIB}
        self.image = self.make_image(
            volume=volume | {'availability_zone': 'east'}
        )
        job = self._put(
            202,
            image_id=self.image,
            volume=self.asked['volume'] | {'availability_zone': 'west'},
        )['job']
        self.assertIn('availability zone west', job['warning'])
