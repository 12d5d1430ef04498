# SPDX-License-Identifier: Apache-2.0

import dataclasses

from ebackup_service.proxy import crew as proxy_crew
from ebackup_service.proxy import endpoint
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import topics
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture


class TestProxyEndpoint(base.BaseTestCase):
    """Through the client and the bus, as a server does it."""

    def setUp(self):
        super().setUp()
        # what is not read at once takes weeks
        self.fixture = self.useFixture(
            proxy_fixture.Proxy({'proxy': {'max_bytes_per_second': 1}})
        )
        self.fixture.create_repository()
        self.crew = proxy_crew.Crew(self.fixture.conf, self.fixture.server, [])
        self.addCleanup(self.crew.finish, 0)
        self.endpoint = endpoint.ProxyEndpoint(self.crew)
        self.fixture.bus.listen(topics.PROXY, 'here', self.endpoint)
        self.client = self.fixture.bus.proxy_client()

    def spec(self, content):
        path = self.fixture.write_volume(content)
        _, job = self.fixture.reserve(size=len(content))
        self.fixture.attach(job.id, path)
        return self.fixture.spec(job.id)

    def wait_for(self, spec, state):
        catalog_fixture.wait_for(
            lambda: self.fixture.job(spec.id).state == state, state
        )

    def test_job_is_run(self):
        spec = self.spec(b'x')
        self.client.run_job('here', spec)
        self.wait_for(spec, 'succeeded')

    def test_job_is_cancelled(self):
        spec = self.spec(bytes(range(256)) * 2**15)
        self.client.run_job('here', spec)
        catalog_fixture.wait_for(
            lambda: self.fixture.job(spec.id).started_at, 'begin'
        )
        self.client.cancel_job('here', spec.id, spec.token, 'Not today.')
        self.wait_for(spec, 'cancelled')

    def test_message_that_makes_no_sense_is_left_to_the_server(self):
        self.endpoint.run_job({}, {'id': 'x', 'url': 'secret'})
        self.assertEqual([], self.crew.ids())

    def test_job_gets_its_connection(self):
        spec = dataclasses.replace(self.spec(b'x'), attachment_timeout=60.0)
        self.client.run_job('here', spec)
        catalog_fixture.wait_for(self.crew.ids, 'begin')
        connection = {
            'driver_volume_type': 'local',
            'data': {'device_path': '/dev/null'},
        }
        for job_id, token in ((spec.id, spec.token + 1), ('other', 1)):
            decision = self.client.connect('here', job_id, token, connection)
            self.assertFalse(decision.accepted)
            self.assertIn(job_id, decision.reason)
        decision = self.client.connect('here', spec.id, spec.token, connection)
        self.assertTrue(decision.accepted)
        self.wait_for(spec, 'failed')

    def test_what_is_no_connection_is_not_quoted(self):
        error = self.assertRaises(
            rpc_errors.PeerUnreachable,
            self.client.connect,
            *('here', 'j', 1, {'driver_volume_type': 's3cret!'}),
        )
        self.assertNotIn('s3cret', str(error))
