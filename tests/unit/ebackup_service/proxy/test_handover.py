# SPDX-License-Identifier: Apache-2.0
import threading

from ebackup_service.proxy import errors
from ebackup_service.proxy import handover
from ebackup_service.rpc import messages
from tests import base
from tests.unit.ebackup_service import catalog_fixture

CONNECTION = messages.Connection('iscsi', {'auth_password': 's3cret'})


class Stop(Exception):
    pass


def go_on():
    pass


class TestHandover(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.handover = handover.Handover()

    def test_it_is_there_as_often_as_it_is_asked_for(self):
        self.assertFalse(self.handover.given)
        self.handover.give(CONNECTION)
        self.handover.give(CONNECTION)
        self.assertTrue(self.handover.given)
        self.handover.confirm()
        for _ in range(2):
            self.assertEqual(CONNECTION, self.handover.wait(0, go_on))

    def test_it_is_waited_for(self):
        waits = threading.Event()

        def hand_over():
            waits.wait()
            self.handover.give(CONNECTION)
            self.handover.confirm()

        threading.Thread(target=hand_over).start()
        found = self.handover.wait(catalog_fixture.PATIENCE, waits.set)
        self.assertEqual(CONNECTION, found)

    def test_it_does_not_come(self):
        error = self.assertRaises(
            errors.AttachmentTimeout, self.handover.wait, 0.01, go_on
        )
        self.assertEqual('attachment-timeout', error.kind)
        self.assertTrue(error.retryable)

    def test_it_is_not_used_before_the_server_knows(self):
        self.handover.give(CONNECTION)
        self.assertRaises(
            errors.AttachmentTimeout, self.handover.wait, 0.01, go_on
        )

    def test_job_that_has_to_stop_waits_no_longer(self):
        def stop():
            raise Stop

        self.assertRaises(Stop, self.handover.wait, 1000, stop)

    def test_nothing_shows_what_is_secret_in_it(self):
        self.assertNotIn('s3cret', repr(CONNECTION))
