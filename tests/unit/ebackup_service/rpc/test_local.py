# SPDX-License-Identifier: Apache-2.0
import queue
import threading

import oslo_messaging

from ebackup_service import conf as service_conf
from ebackup_service.rpc import bus
from ebackup_service.rpc import listeners
from ebackup_service.rpc import local
from tests import base

TOPIC = 'topic'


class _Endpoint:
    """Keeps what it is told; may take its time, or fail."""

    target = oslo_messaging.Target(version='1.0')

    def __init__(self, name):
        self.name = name
        self.heard = queue.SimpleQueue()
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def tell(self, context, **arguments):
        self.heard.put((self.name, arguments))

    def ask(self, context, value):
        self.asked.set()
        self.may_answer.wait(20)
        return {'said': value, 'by': self.name}

    def fail(self, context):
        raise LookupError('nothing there')

    def answer_no_json(self, context):
        return {'set': object}


class LocalTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.transport = self.open()
        self.endpoint = _Endpoint('one')

    def open(self):
        transport = oslo_messaging.get_rpc_transport(
            service_conf.new(), url=local.URL
        )
        self.addCleanup(transport.cleanup)
        return transport

    def listen(self, endpoint):
        server = listeners.listen(
            self.transport, TOPIC, endpoint.name, endpoint
        )
        server.start()
        self.addCleanup(listeners.close, server, 5)
        return server

    def client(self, transport=None, timeout=20, **target):
        return oslo_messaging.get_rpc_client(
            bus.prepare(transport or self.transport),
            oslo_messaging.Target(topic=TOPIC, version='1.0', **target),
            timeout=timeout,
        )

    def test_call_is_answered(self):
        self.listen(self.endpoint)
        self.assertEqual(
            {'said': 1, 'by': 'one'}, self.client().call({}, 'ask', value=1)
        )

    def test_nobody_shares_an_object_with_who_he_speaks_to(self):
        self.listen(self.endpoint)
        said = {'list': [1, (2, 3)]}
        self.client().cast({}, 'tell', **said)
        _, heard = self.endpoint.heard.get(timeout=20)
        self.assertEqual({'list': [1, [2, 3]]}, heard)
        heard['list'].append(4)
        self.assertEqual({'list': [1, (2, 3)]}, said)

    def test_cast_waits_for_nothing(self):
        self.endpoint.may_answer.clear()
        self.listen(self.endpoint)
        self.assertIsNone(self.client().cast({}, 'ask', value=1))
        self.endpoint.may_answer.set()

    def test_caller_gets_what_was_raised(self):
        self.listen(self.endpoint)
        error = self.assertRaises(LookupError, self.client().call, {}, 'fail')
        self.assertEqual('nothing there', str(error))

    def test_version_that_is_not_understood(self):
        self.listen(self.endpoint)
        client = self.client().prepare(version='1.1')
        self.assertRaises(
            oslo_messaging.UnsupportedVersion, client.call, {}, 'ask', value=1
        )

    def test_answer_that_takes_too_long(self):
        self.endpoint.may_answer.clear()
        self.listen(self.endpoint)
        self.assertRaises(
            oslo_messaging.MessagingTimeout,
            *(self.client(timeout=0.1).call, {}, 'ask'),
            value=1,
        )
        self.endpoint.may_answer.set()

    def test_answer_that_is_no_json_is_none(self):
        self.listen(self.endpoint)
        self.assertRaises(
            oslo_messaging.MessagingTimeout,
            *(self.client(timeout=0.1).call, {}, 'answer_no_json'),
        )

    def test_message_that_is_no_json_is_refused(self):
        self.listen(self.endpoint)
        self.assertRaises(
            (TypeError, ValueError),
            *(self.client().cast, {}, 'tell'),
            value=object,
        )

    def test_nobody_listens(self):
        client = self.client(server='two')
        for listening in False, True:
            if listening:
                self.listen(self.endpoint)
            for say in client.call, client.cast:
                self.assertRaises(
                    oslo_messaging.MessageDeliveryFailure,
                    *(say, {}, 'tell'),
                )

    def test_who_has_stopped_is_told_nothing(self):
        server = self.listen(self.endpoint)
        self.client().cast({}, 'tell')
        server.stop()
        server.wait()
        self.assertRaises(
            oslo_messaging.MessageDeliveryFailure,
            *(self.client().cast, {}, 'tell'),
        )
        self.assertEqual(1, self.endpoint.heard.qsize())

    def test_what_is_answered_when_listening_ends_is_answered(self):
        self.endpoint.may_answer.clear()
        server = self.listen(self.endpoint)
        answers = queue.SimpleQueue()
        asking = threading.Thread(
            target=lambda: answers.put(self.client().call({}, 'ask', value=1))
        )
        asking.start()
        self.addCleanup(asking.join)
        self.assertTrue(self.endpoint.asked.wait(20))
        server.stop()
        self.endpoint.may_answer.set()
        self.assertEqual(1, answers.get(timeout=20)['said'])

    def test_one_of_several_by_name_or_in_turn_or_all(self):
        other = _Endpoint('other')
        other.heard = self.endpoint.heard
        for endpoint in self.endpoint, other:
            self.listen(endpoint)

        def hear(count):
            return sorted(
                self.endpoint.heard.get(timeout=20)[0] for _ in range(count)
            )

        client = self.client()
        for _ in range(2):
            client.cast({}, 'tell')
        self.assertEqual(['one', 'other'], hear(2))
        for _ in range(2):
            client.prepare(server='other').cast({}, 'tell')
        self.assertEqual(['other', 'other'], hear(2))
        client.prepare(fanout=True).cast({}, 'tell')
        self.assertEqual(['one', 'other'], hear(2))
        self.assertTrue(self.endpoint.heard.empty())

    def test_transports_are_strangers(self):
        self.listen(self.endpoint)
        self.assertRaises(
            oslo_messaging.MessageDeliveryFailure,
            *(self.client(self.open()).cast, {}, 'tell'),
        )

    def test_there_are_no_notifications(self):
        driver = self.transport._driver
        self.assertRaises(NotImplementedError, driver.send_notification)
        self.assertRaises(NotImplementedError, driver.listen_for_notifications)
