# SPDX-License-Identifier: Apache-2.0
from ebackup_service.repository import live_bytes
from ebackup_service.repository import location
from ebackup_service.repository import page
from tests import base

SESSION = bytes(range(16))


def address(ordinal, kind=location.DATA):
    return location.PackAddress(SESSION, kind, ordinal)


def leaf(*chunks):
    """Of (slot, ordinal of the pack, offset, length, generation)."""
    made = page.Leaf(0)
    for slot, ordinal, offset, length, generation in chunks:
        made.set(
            slot,
            location.Locator(
                bytes([slot]) * 32,
                address(ordinal),
                offset,
                length,
                generation,
            ),
        )
    return made


class LiveBytesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.live = live_bytes.LiveBytes()

    def of(self, *ordinals):
        return [self.live.of(address(ordinal)) for ordinal in ordinals]

    def test_nothing(self):
        self.live.add(page.Leaf(0), -1)

        self.assertEqual([0], self.of(1))

    def test_first_tree_of_a_chain(self):
        self.live.add(
            leaf(
                (0, 1, 128, 100, 0), (9, 1, 228, 50, 1), (255, 70, 128, 7, 2)
            ),
            -1,
        )

        self.assertEqual([150, 7, 0], self.of(1, 70, 2))

    def test_what_came_since(self):
        self.live.add(leaf((0, 1, 128, 100, 3)), -1)
        self.live.add(leaf((0, 1, 128, 100, 3), (1, 2, 128, 30, 5)), 4)

        self.assertEqual([100, 30], self.of(1, 2))

    def test_chunk_that_occurs_again(self):
        self.live.add(leaf((0, 1, 128, 100, 0), (1, 1, 128, 100, 0)), -1)

        self.assertEqual([100], self.of(1))

    def test_same_offsets_in_several_packs(self):
        self.live.add(leaf((0, 1, 128, 100, 0), (1, 2, 128, 100, 0)), -1)

        self.assertEqual([100, 100], self.of(1, 2))

    def test_pages_are_not_counted(self):
        self.live.add(leaf((0, 1, 128, 100, 0)), -1)

        self.assertEqual(0, self.live.of(address(1, location.PAGE)))
