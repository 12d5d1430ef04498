# SPDX-License-Identifier: Apache-2.0
"""The whole application over a real catalog, for the tests beside it."""

import uuid

import fixtures
from keystonemiddleware import fixture as keystone_fixture
import webob

from ebackup_service.api import deploy
from ebackup_service.api import waits
from ebackup_service import conf
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture

OWN = 'a' * 32
OTHER = 'b' * 32
GIB = 2**30

# Nothing listens at this address: no test may need Keystone.
OPTIONS = """\
[DEFAULT]
state_path = {directory}
[keystone_authtoken]
auth_type = password
auth_url = http://127.0.0.1:9/v3
www_authenticate_uri = http://127.0.0.1:9/v3
username = ebackup
password = secret
"""

# The callers of the tests: token -> (project, roles)
CALLERS = {
    'admin': (OTHER, ['admin', 'member', 'reader']),
    'service': (OTHER, ['service']),
    'reader': (OWN, ['reader']),
    'member': (OWN, ['member', 'reader']),
    'stranger': (OTHER, ['reader']),
    'nobody': (OWN, ['cleaner']),
}


class CatalogTestCase(base.BaseTestCase):
    """Options, and an empty catalog in a file of its own."""

    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        path = f'{self.directory}/ebackup.conf'
        with open(path, 'w') as options:
            options.write(OPTIONS.format(directory=self.directory))
        self.conf = conf.new([path])
        self.catalog = catalog_fixture.upgraded(self.conf)
        self.addCleanup(self.catalog.close)

    def make_repository(self, name='default', state='available'):
        repository, _job = repositories.create(
            self.catalog, name, f'file://{self.directory}/{name}'
        )
        with self.catalog.writer() as session:
            repository_rows.update(session, repository.id, state=state)
        self.end_jobs()
        return repository

    def end_jobs(self, state='succeeded', **values):
        """Let every unfinished job end, as a proxy would report it."""
        with self.catalog.writer() as session:
            for job in job_rows.unfinished(session):
                job_rows.end(
                    session, job.id, job_rows.UNFINISHED, state, **values
                )

    def move_image(self, image_id, state, **values):
        with self.catalog.writer() as session:
            image_rows.move(
                session, image_id, image_rows.STATES, state=state, **values
            )


class ApiTestCase(CatalogTestCase):
    """The application behind Keystone's middleware, its tokens given."""

    def setUp(self):
        super().setUp()
        tokens = self.useFixture(keystone_fixture.AuthTokenFixture())
        for token, (project_id, roles) in CALLERS.items():
            tokens.add_token_data(
                token,
                user_id=f'user-{token}',
                project_id=project_id,
                role_list=roles,
            )
        self.configure()
        self.woken = 0
        # what proxies were given: (host, job, token, connection)
        self.connected = []
        self.decision = messages.Decision(True)
        self.app = deploy.application(
            *(self.conf, self.catalog, self._wake, self.connect),
            waiting=waits.Waits(2),
        )

    def configure(self):
        """Set options before the application is made."""

    def _wake(self):
        self.woken += 1

    def connect(self, *arguments):
        """A proxy that is given a connection; ``decision`` is its answer."""
        if isinstance(self.decision, Exception):
            raise self.decision
        self.connected.append(arguments)
        return self.decision

    def request(self, method, path, body=None, caller='service', **kw):
        """Send one request; a body that is not bytes is sent as JSON."""
        headers = {'X-Auth-Token': caller} if caller else {}
        headers.update(kw.pop('headers', {}))
        req = webob.Request.blank(path, method=method, headers=headers, **kw)
        if isinstance(body, bytes):
            req.content_type = 'application/json'
            req.body = body
        elif body is not None:
            req.json_body = body
            req.content_type = 'application/json'
        return req.get_response(self.app)

    def answer(self, status, method, path, body=None, caller='service', **kw):
        """Send a request and return the JSON, after checking the status."""
        response = self.request(method, path, body, caller, **kw)
        self.assertEqual(status, response.status_int, response.text)
        return response.json if response.body else None

    def error(self, status, method, path, body=None, caller='service', **kw):
        """Send a request that fails; return what the answer says."""
        error = self.answer(status, method, path, body, caller, **kw)['error']
        self.assertEqual({'code', 'kind', 'message'}, set(error))
        self.assertEqual(status, error['code'])
        self.assertLessEqual(len(error['message']), 255)
        return error

    def reserve(self, image_id=None, project_id=OWN, **values):
        """Reserve an image; return its id."""
        image_id = image_id or str(uuid.uuid4())
        body = {'image': image_request(project_id, **values)}
        self.answer(202, 'PUT', f'/v1/images/{image_id}', body)
        return image_id

    def make_image(self, **values):
        """Make an image that is available; return its id."""
        image_id = self.reserve(**values)
        self.end_jobs()
        self.move_image(
            image_id,
            'available',
            kind='full',
            bytes_read=GIB,
            bytes_stored=1000,
            root={'tree': None},
        )
        return image_id


def image_request(project_id=OWN, **values):
    return {
        'project_id': project_id,
        'volume': {'id': str(uuid.uuid4()), 'size': GIB},
        'record': {'id': 'x'},
        **values,
    }
