# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.engine import recent_chunks
from ebackup_service.repository import location
from tests import base

PACK = location.PackAddress(b's' * 16, location.DATA, 1)


def place(number):
    return location.Locator(
        number.to_bytes(32), PACK, 128 + 100 * number, 100, 1
    )


class RecentChunksTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MockPatch('ebackup_service.engine.recent_chunks.COUNT', 4)
        )
        self.recent = recent_chunks.RecentChunks()

    def remembered(self, *numbers):
        return [
            number
            for number in numbers
            if self.recent.get(number.to_bytes(32), 0) is not None
        ]

    def test_what_was_added_is_found(self):
        self.recent.add(place(1), 0)
        self.recent.add(place(2), 0)
        self.assertEqual(place(1), self.recent.get((1).to_bytes(32), 0))
        self.assertIsNone(self.recent.get((3).to_bytes(32), 0))

    def test_at_least_the_last_ones_are_remembered(self):
        for number in range(1, 101):
            self.recent.add(place(number), 0)
            last = range(max(number - 3, 1), number + 1)
            self.assertEqual(list(last), self.remembered(*last))

    def test_at_most_twice_as_many_are_remembered(self):
        for number in range(1, 101):
            self.recent.add(place(number), 0)
            self.assertLessEqual(len(self.remembered(*range(1, 101))), 8)

    def test_what_a_later_stage_has_stored_is_not_found(self):
        self.recent.add(place(1), 3)
        found = [self.recent.get((1).to_bytes(32), n) for n in (2, 3, 4)]
        self.assertEqual([None, place(1), place(1)], found)
        self.recent.add(place(1), 2)
        self.assertEqual(place(1), self.recent.get((1).to_bytes(32), 2))
