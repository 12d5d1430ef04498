# SPDX-License-Identifier: Apache-2.0

import logging
import threading
from unittest import mock

import fixtures
import oslo_messaging

from ebackup_service.rpc import errors
from ebackup_service.rpc import listeners
from ebackup_service.rpc import messages
from ebackup_service.rpc import topics
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import messages_fixture
from tests.unit.ebackup_service.rpc import test_messages


class PlayedServer:
    """Answers the same each time, and keeps what it was asked."""

    target = listeners.VERSION

    def __init__(self):
        self.asked = []
        self.awake = threading.Event()

    def announce(self, context, **arguments):
        self.asked.append(arguments)

    def renew(self, context, **arguments):
        self.asked.append(arguments)
        return messages.Grant(True, 3.5).to_dict()

    def commit_image(self, context, **arguments):
        self.asked.append(arguments)
        return messages.Decision(False, 'because').to_dict()

    def finish(self, context, **arguments):
        self.asked.append(arguments)
        return messages.Decision(True).to_dict()

    def live(self, context, **arguments):
        self.asked.append(arguments)
        return messages.Live(True, ['a'], [], [], ['b']).to_dict()

    def wake(self, context):
        self.awake.set()


class ClientsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        conf = self.useFixture(catalog_fixture.Catalog()).conf
        self.bus = self.useFixture(messages_fixture.Bus(conf))


class TestServerClient(ClientsTestCase):
    def setUp(self):
        super().setUp()
        self.played = PlayedServer()
        self.bus.listen(topics.SERVER, 'any', self.played)
        self.client = self.bus.server_client()

    def test_announce(self):
        self.client.announce('h', '1', {'max_jobs': 4})
        self.assertEqual(
            [
                {
                    'host': 'h',
                    'version': '1',
                    'capabilities': {'max_jobs': 4},
                }
            ],
            self.played.asked,
        )

    def test_renew(self):
        grant = self.client.renew('j', 2, {'percent': 1})
        self.assertEqual(messages.Grant(True, 3.5), grant)
        self.assertEqual(
            [{'job_id': 'j', 'token': 2, 'progress': {'percent': 1}}],
            self.played.asked,
        )

    def test_commit(self):
        commit = messages.Commit({'id': 'x'}, 1, 65536, {})
        decision = self.client.commit_image('j', 2, commit)
        self.assertEqual(messages.Decision(False, 'because'), decision)
        self.assertEqual(commit.to_dict(), self.played.asked[0]['root'])

    def test_finish(self):
        outcome = messages.Outcome('succeeded', {'x': 1})
        self.assertTrue(self.client.finish('j', 2, outcome).accepted)
        self.assertEqual(outcome.to_dict(), self.played.asked[0]['outcome'])

    def test_live(self):
        answer = self.client.live('j', 2, ['a', 'c'])
        self.assertEqual((['a'], ['b']), (answer.dead, answer.sessions))

    def test_wake(self):
        self.client.wake()
        self.assertTrue(self.played.awake.wait(10))

    def test_bus_that_is_away_whatever_it_raises(self):
        for error in (
            oslo_messaging.MessageDeliveryFailure('away'),
            ConnectionRefusedError('the driver lets it through'),
        ):
            self.bus.break_down(error)
            for call in (
                lambda: self.client.renew('j', 1, {}),
                self.client.wake,
            ):
                self.assertRaises(errors.PeerUnreachable, call)


class TestOtherVersions(ClientsTestCase):
    """While one side is upgraded, and the other is not yet."""

    def played(self, version, endpoint):
        endpoint.target = oslo_messaging.Target(version=version)
        return endpoint

    def test_newer_server_answers_an_older_proxy(self):
        endpoint = self.played('1.99', PlayedServer())
        self.bus.listen(topics.SERVER, 'any', endpoint)
        client = self.bus.server_client()
        client.announce('h', '1', {})
        self.assertTrue(client.renew('j', 1, {}).granted)

    def test_older_server_is_to_be_upgraded_first(self):
        endpoint = self.played('1.0', PlayedServer())
        self.bus.listen(topics.SERVER, 'any', endpoint)
        error = self.assertRaises(
            errors.PeerUnreachable,
            self.bus.server_client().announce,
            'h',
            '1',
            {},
        )
        self.assertIn('upgrade the servers first', str(error))
        self.assertEqual([], endpoint.asked)

    def test_it_is_found_out_across_a_real_bus_as_well(self):
        client = self.bus.server_client()
        remote = oslo_messaging.RemoteError('UnsupportedVersion', 'old')
        self.bus.break_down(remote)
        error = self.assertRaises(
            errors.PeerUnreachable, client.renew, 'j', 1, {}
        )
        self.assertIn('upgrade the servers first', str(error))

    def test_newer_server_speaks_the_oldest_version(self):
        """So whatever proxy it understands understands it."""
        heard = self.bus.hear_as_proxy('old', topics.OLDEST)
        with mock.patch.object(topics, 'VERSION', '1.99'):
            client = self.bus.proxy_client()
        client.run_job('old', test_messages.EXAMPLES[0])
        self.assertEqual('run_job', heard.get(timeout=10)[0])


class TestErrors(ClientsTestCase):
    """The server itself fails: that is told from one that is away."""

    def check(self):
        error = self.assertRaises(
            errors.PeerErred, self.bus.server_client().live, 'j', 1, []
        )
        self.assertIn('live failed: KeyError', str(error))

    def test_what_the_server_raised(self):
        played = PlayedServer()
        played.live = listeners.answered(self.live)
        self.bus.listen(topics.SERVER, 'any', played)
        self.check()

    def live(self, context, **arguments):
        raise KeyError('nobody expected it')

    live.__name__ = 'live'

    def test_across_a_real_bus_as_well(self):
        self.bus.break_down(
            oslo_messaging.RemoteError('PeerFailed', 'live failed: KeyError')
        )
        self.check()


class TestSilence(ClientsTestCase):
    def test_nobody_answers(self):
        client = self.bus.server_client()
        error = self.assertRaises(
            errors.PeerUnreachable, client.announce, 'h', '1', {}
        )
        self.assertIn('announce', str(error))


class TestProxyClient(ClientsTestCase):
    def setUp(self):
        super().setUp()
        self.heard = self.bus.hear_as_proxy('h')
        self.other = self.bus.hear_as_proxy('other')
        self.client = self.bus.proxy_client()

    def test_job_goes_to_its_host_only(self):
        job = test_messages.EXAMPLES[1]
        self.client.run_job('h', job)
        method, arguments = self.heard.get(timeout=10)
        self.assertEqual('run_job', method)
        self.assertEqual(job, messages.JobSpec.from_dict(arguments['job']))
        self.assertTrue(self.other.empty())

    def test_credentials_are_not_logged_on_their_way(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.client.run_job('h', test_messages.EXAMPLES[2])
        _, arguments = self.heard.get(timeout=10)
        credentials = arguments['job']['storage']['credentials']
        self.assertEqual({'key': 'secret'}, credentials)
        self.assertNotIn('secret', log.output)

    def test_connection_is_answered_and_not_logged(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        connection = {
            'driver_volume_type': 'iscsi',
            'data': {'auth_password': 's3cret'},
        }
        decision = self.client.connect('h', 'j', 2, connection)
        self.assertTrue(decision.accepted)
        self.assertEqual(
            (
                'connect',
                {'job_id': 'j', 'token': 2, 'connection': connection},
            ),
            self.heard.get(timeout=10),
        )
        self.assertNotIn('s3cret', log.output)

    def test_proxy_that_is_too_old_for_connections(self):
        self.bus.hear_as_proxy('old', '1.2')
        error = self.assertRaises(
            errors.PeerUnreachable,
            *(self.client.connect, 'old', 'j', 2, {'data': 's3cret'}),
        )
        self.assertNotIn('s3cret', str(error))

    def test_connection_while_the_bus_is_away(self):
        failure = oslo_messaging.MessageDeliveryFailure('of s3cret')
        self.bus.break_down(failure)
        error = self.assertRaises(
            errors.PeerUnreachable,
            *(self.client.connect, 'h', 'j', 2, {'data': 's3cret'}),
        )
        self.assertIn('h did not answer', str(error))
        self.assertNotIn('s3cret', str(error))

    def test_cancellation(self):
        self.client.cancel_job('h', 'j', 2, 'why')
        self.assertEqual(
            (
                'cancel_job',
                {'job_id': 'j', 'token': 2, 'reason': 'why'},
            ),
            self.heard.get(timeout=10),
        )
