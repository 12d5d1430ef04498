# SPDX-License-Identifier: Apache-2.0

import threading
import time

from ebackup_service.rpc import clients
from ebackup_service.rpc import errors
from ebackup_service.rpc import listeners
from ebackup_service.rpc import topics
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import messages_fixture


class Endpoint:
    target = listeners.VERSION

    def __init__(self):
        self.begun = threading.Event()
        self.go_on = threading.Event()

    @listeners.answered
    def announce(self, context, **arguments):
        raise KeyError('secret')

    @listeners.answered
    def wake(self, context):
        self.begun.set()
        self.go_on.wait(30)

    def _hidden(self, context):
        raise AssertionError


class TestListen(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        conf = self.useFixture(catalog_fixture.Catalog()).conf
        self.bus = self.useFixture(messages_fixture.Bus(conf))
        self.endpoint = Endpoint()
        self.addCleanup(self.endpoint.go_on.set)
        self.listener = listeners.listen(
            self.bus.transport, topics.SERVER, 'any', self.endpoint
        )
        self.listener.start()
        self.client = self.bus.server_client()

    def close(self, seconds=5.0):
        listeners.close(self.listener, seconds)

    def test_caller_learns_of_a_failure_but_not_its_details(self):
        self.addCleanup(self.close)
        error = self.assertRaises(
            errors.PeerUnreachable, self.client.announce, 'h', '1', {}
        )
        self.assertIn('KeyError', str(error))
        self.assertNotIn('secret', str(error))

    def test_only_public_methods_are_answered(self):
        self.addCleanup(self.close)
        self.assertRaises(
            errors.PeerUnreachable, self.client._call, 5, '_hidden'
        )

    def test_closed_listener_answers_no_more(self):
        self.close()
        client = clients.ServerClient(self.bus.transport)
        self.assertRaises(errors.PeerUnreachable, client.wake)
        self.assertFalse(self.endpoint.begun.is_set())

    def test_close_does_not_wait_for_ever(self):
        self.client.wake()
        self.assertTrue(self.endpoint.begun.wait(10))
        began = time.monotonic()
        self.close(0.2)
        self.assertLess(time.monotonic() - began, 10)
