# SPDX-License-Identifier: Apache-2.0
"""Who may use which route: every route with every role."""

import uuid

from ebackup_service.api import routes
from ebackup_service.server import storages
from tests.unit.ebackup_service.api import base
from tests.unit.ebackup_service import storage_fixture

EVERYBODY = {'admin', 'service', 'reader', 'stranger'}
OWNER = {'admin', 'service', 'reader'}
SERVICE = {'service'}
SERVICE_OR_ADMIN = {'admin', 'service'}
ADMIN = {'admin'}

# (method, path) -> (who gets an answer, who is told that it is unknown);
# everybody else is refused. {image} and {job} are of the reader's project.
ACCESS = {
    ('GET', '/v1/images'): (EVERYBODY, set()),
    ('GET', '/v1/images/{image_id}'): (OWNER, {'stranger'}),
    ('PUT', '/v1/images/{image_id}'): (SERVICE, set()),
    ('PATCH', '/v1/images/{image_id}'): (ADMIN, set()),
    ('DELETE', '/v1/images/{image_id}'): (SERVICE_OR_ADMIN, set()),
    ('GET', '/v1/images/{image_id}/record'): (SERVICE_OR_ADMIN, set()),
    ('PUT', '/v1/images/{image_id}/record'): (SERVICE, set()),
    ('PUT', '/v1/restores/{job_id}'): (SERVICE, set()),
    ('DELETE', '/v1/volumes/{volume_id}/anchors'): (SERVICE, set()),
    ('GET', '/v1/jobs'): (EVERYBODY, set()),
    ('GET', '/v1/jobs/{job_id}'): (OWNER, {'stranger'}),
    ('PUT', '/v1/jobs/{job_id}/attachment'): (SERVICE, set()),
    ('DELETE', '/v1/jobs/{job_id}/attachment'): (SERVICE, set()),
    ('POST', '/v1/jobs/{job_id}/detach'): (SERVICE, set()),
    ('POST', '/v1/jobs/{job_id}/heartbeat'): (SERVICE, set()),
    ('POST', '/v1/jobs/{job_id}/cancel'): (SERVICE_OR_ADMIN, set()),
    ('GET', '/v1/repositories'): (ADMIN, set()),
    ('POST', '/v1/repositories'): (ADMIN, set()),
    ('GET', '/v1/repositories/{name}'): (ADMIN, set()),
    ('DELETE', '/v1/repositories/{name}'): (ADMIN, set()),
    ('GET', '/v1/repositories/{name}/usage'): (ADMIN, set()),
    ('POST', '/v1/repositories/{name}/collect'): (ADMIN, set()),
    ('POST', '/v1/repositories/{name}/check'): (ADMIN, set()),
    ('POST', '/v1/repositories/{name}/rebuild'): (ADMIN, set()),
    ('GET', '/v1/storages'): (ADMIN, set()),
    ('POST', '/v1/storages'): (ADMIN, set()),
    ('GET', '/v1/storages/{name}'): (ADMIN, set()),
    ('PATCH', '/v1/storages/{name}'): (ADMIN, set()),
    ('DELETE', '/v1/storages/{name}'): (ADMIN, set()),
    ('GET', '/v1/proxies'): (ADMIN, set()),
}
METHODS = ('GET', 'PUT', 'POST', 'DELETE', 'PATCH')


class AccessTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(storage_fixture.PlayedKind())
        self.make_repository()
        self.image = self.make_image()
        path = f'/v1/images/{self.image}/record'
        self.record = self.answer(200, 'GET', path)['record']

    def _request(self, method, path, caller):
        """Send what would be right; everything is made anew each time."""
        job, image_id, body = str(uuid.uuid4()), self.image, None
        name = 'default'
        if '/storages' in path:
            name, body = self._storage(method)
        if '{job_id}' in path and 'restores' not in path:
            reserved = self.answer(
                202,
                'PUT',
                f'/v1/images/{uuid.uuid4()}',
                {'image': base.image_request()},
            )
            job = reserved['job']['id']
        if path.endswith('/detach'):
            self.end_jobs('failed')
        if method == 'DELETE' and path == '/v1/repositories/{name}':
            name = f'r-{uuid.uuid4()}'
            self.make_repository(name)
        elif method == 'DELETE':
            image_id = self.make_image()
        elif method == 'PUT' and path == '/v1/images/{image_id}':
            image_id = str(uuid.uuid4())
            body = {'image': base.image_request()}
        elif method == 'PATCH' and 'storages' not in path:
            body = {'image': {'restore_damaged': True}}
        elif path == '/v1/restores/{job_id}':
            body = {'restore': self._restore()}
        elif path.endswith('/record') and method == 'PUT':
            body = {'project_id': base.OWN, 'record': self.record}
        elif path.endswith('/attachment') and method == 'PUT':
            body = {
                'attachment': {'kind': 'attached', 'host': 'h', 'path': '/x'}
            }
        elif method == 'POST' and path == '/v1/repositories':
            new = f'r-{uuid.uuid4()}'
            body = {'repository': {'name': new, 'url': 'file:///x'}}
        path = path.format(
            image_id=image_id, job_id=job, name=name, volume_id=uuid.uuid4()
        )
        return self.request(method, path, body, caller).status_int

    def _storage(self, method):
        """Make a storage; return its name, and what may be asked of it."""
        values = storage_fixture.values(backends=[])
        name = f's-{uuid.uuid4()}'
        kind = storage_fixture.KIND
        if method == 'POST':
            return name, {'storage': {'name': name, 'kind': kind, **values}}
        storages.create(self.catalog, self.conf, name, kind, **values)
        patch = {'storage': {'trust': 'shadow'}} if method == 'PATCH' else None
        return name, patch

    def _restore(self):
        return {
            'image_id': self.image,
            'project_id': base.OWN,
            'volume': {'id': str(uuid.uuid4()), 'size': base.GIB},
            'volume_is_new': True,
        }

    def test_table_has_every_route(self):
        declared = {
            (method, path)
            for path, methods in routes.ROUTES.items()
            for method in methods
        }
        self.assertEqual(declared, set(ACCESS))

    def test_every_route_with_every_role(self):
        wrong = []
        for (method, path), (answered, unknown) in ACCESS.items():
            for caller in base.CALLERS:
                expected = (
                    {200, 201, 202, 204}
                    if caller in answered
                    or (caller == 'member' and 'reader' in answered)
                    else {404}
                    if caller in unknown
                    else {403}
                )
                status = self._request(method, path, caller)
                if status not in expected:
                    wrong.append((method, path, caller, status))
        self.assertEqual([], wrong)

    def test_nobody_gets_anything_without_a_token(self):
        for method, path in ACCESS:
            self.assertEqual(401, self._request(method, path, None))
            self.assertEqual(401, self._request(method, path, 'forged'))


class MethodTest(base.ApiTestCase):
    def test_other_methods_are_refused_and_the_right_ones_named(self):
        for path, methods in routes.ROUTES.items():
            concrete = path.format(
                image_id=uuid.uuid4(),
                job_id=uuid.uuid4(),
                name='x',
                volume_id=uuid.uuid4(),
            )
            for method in set(METHODS) - set(methods):
                response = self.request(method, concrete)
                self.assertEqual(405, response.status_int)
                self.assertEqual(set(methods), set(response.allow))
                self.assertEqual(
                    'method-not-allowed', response.json['error']['kind']
                )

    def test_head_is_get_without_the_body(self):
        response = self.request('HEAD', '/v1/images')
        self.assertEqual(200, response.status_int)
        self.assertEqual(b'', response.body)
