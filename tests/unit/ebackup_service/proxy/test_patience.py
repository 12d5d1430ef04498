# SPDX-License-Identifier: Apache-2.0

from ebackup_service.proxy import patience
from ebackup_service.rpc import errors
from tests import base


class TestUntilAnswered(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.silences = 0
        self.pauses = []

    def ask(self):
        if self.silences:
            self.silences -= 1
            raise errors.PeerUnreachable('nobody there')
        return 'answer'

    def check(self):
        pass

    def test_answer_at_once(self):
        found = patience.until_answered(
            self.ask, self.check, self.pauses.append
        )
        self.assertEqual('answer', found)
        self.assertEqual([], self.pauses)

    def test_silence_is_followed_by_another_try_after_a_pause(self):
        self.silences = 3
        found = patience.until_answered(
            self.ask, self.check, self.pauses.append
        )
        self.assertEqual('answer', found)
        self.assertEqual(3, len(self.pauses))

    def test_who_checks_can_give_up(self):
        self.silences = 3

        def check():
            raise ZeroDivisionError

        self.assertRaises(
            ZeroDivisionError,
            patience.until_answered,
            self.ask,
            check,
            self.pauses.append,
        )
        self.assertEqual(2, self.silences)
