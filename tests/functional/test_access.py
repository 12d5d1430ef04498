# SPDX-License-Identifier: Apache-2.0
"""Who may do what, by real Keystone tokens."""

import uuid

import requests

from tests.functional import ebackup_case


class AccessTestCase(ebackup_case.EBackupTestCase):
    def status(self, user: str, method: str, path: str, **body) -> int:
        answer = self.service(user).request(
            path, method, **({'json': body} if body else {})
        )
        return answer.status_code

    def test_no_token_and_a_wrong_one_are_refused_alike(self):
        url = f'{self.service().get_endpoint()}/v1/images'
        answers = [
            requests.get(url, headers=headers, timeout=30)
            for headers in ({}, {'X-Auth-Token': 'gAAAAABwrong'})
        ]
        for answer in answers:
            self.assertEqual(401, answer.status_code)
        self.assertEqual(answers[0].json(), answers[1].json())

    def test_image_of_another_project_does_not_exist(self):
        backup = self.backup(self.create_volume())
        unknown = str(uuid.uuid4())
        own = self.service('demo').get(f'/v1/images/{backup}')
        self.assertEqual(200, own.status_code)
        foreign = self.service('other').get(f'/v1/images/{backup}')
        missing = self.service('other').get(f'/v1/images/{unknown}')
        self.assertEqual(404, foreign.status_code)
        self.assertEqual(
            missing.text.replace(unknown, ''),
            foreign.text.replace(backup, ''),
        )
        listed = self.service('other').get('/v1/images').json()['images']
        self.assertNotIn(backup, [image['id'] for image in listed])

    def test_tenants_only_read(self):
        backup = self.backup(self.create_volume())
        restore = f'/v1/restores/{uuid.uuid4()}'
        for method, path in (
            ('PUT', f'/v1/images/{uuid.uuid4()}'),
            ('DELETE', f'/v1/images/{backup}'),
            ('PUT', restore),
            ('GET', '/v1/repositories'),
            ('POST', '/v1/repositories/default/collect'),
            ('GET', '/v1/storages'),
            ('DELETE', '/v1/storages/any'),
            ('GET', '/v1/proxies'),
        ):
            self.assertIn(
                self.status('demo', method, path), (400, 403), (method, path)
            )
        self.assertEqual(403, self.status('demo', 'GET', '/v1/proxies'))
        self.assertEqual('available', self.image(backup)['state'])

    def test_only_the_service_role_may_name_a_path(self):
        attachment = {'kind': 'attached', 'host': 'lab', 'path': '/dev/vda'}
        path = f'/v1/jobs/{uuid.uuid4()}/attachment'
        for user, status in ('demo', 403), ('admin', 403), ('cinder', 404):
            found = self.status(user, 'PUT', path, attachment=attachment)
            self.assertEqual(status, found, user)
