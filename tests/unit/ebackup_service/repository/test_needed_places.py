# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from ebackup_service.repository import location
from ebackup_service.repository import needed_places
from ebackup_service.repository import page
from tests import base

ONE, TWO = (
    location.PackAddress(b'sessionsessionse', location.DATA, ordinal)
    for ordinal in (1, 2)
)


def locator(pack, number, **kwargs):
    where = location.Locator(
        bytes([number]) * 32, pack, 1000 * number, 100 + number, 1
    )
    return where._replace(**kwargs)


def leaf(*places):
    made = page.Leaf(0)
    for slot, where in enumerate(places):
        made.set(slot * 3, where)
    return made


class NeededPlacesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.needed = needed_places.NeededPlaces([ONE, TWO])

    def expected(self, *places):
        return [(where.offset, where.length, where.id) for where in places]

    def of_pack(self, pack):
        table = self.needed.of(pack)
        return [
            (int(row['offset']), int(row['length']), row['id'].tobytes())
            for row in table
        ]

    def test_nothing(self):
        self.needed.add(leaf(locator(ONE._replace(ordinal=3), 1)))

        self.assertEqual([], self.needed.packs())

    def test_by_pack_in_order_and_once(self):
        places = {n: locator(ONE, n) for n in (1, 2, 3, 4)}
        other = locator(TWO, 2)

        self.needed.add(leaf(places[3], other, places[1], places[3]))
        self.needed.add(leaf(places[2], places[3]))
        self.needed.add(leaf(places[4], other))
        self.needed.add(leaf(places[1]))

        self.assertEqual([ONE, TWO], sorted(self.needed.packs()))
        self.assertEqual(
            self.expected(*(places[n] for n in (1, 2, 3, 4))),
            self.of_pack(ONE),
        )
        self.assertEqual(self.expected(other), self.of_pack(TWO))

    def test_pages_that_contradict_each_other(self):
        for name, value in (('length', 99), ('id', bytes(32))):
            for together in (False, True):
                self.needed = needed_places.NeededPlaces([ONE, TWO])
                places = locator(ONE, 1), locator(ONE, 1, **{name: value})
                self.needed.add(leaf(locator(TWO, 1), locator(ONE, 2)))
                if together:
                    self.needed.add(leaf(*places))
                else:
                    for where in places:
                        self.needed.add(leaf(where))

                self.needed.add(leaf(locator(ONE, 3)))

                self.assertEqual([TWO], self.needed.packs())

    def test_packs_for_which_there_is_no_room(self):
        with mock.patch.object(needed_places, '_RECORDS', 3):
            self.needed.add(leaf(locator(ONE, 1), locator(ONE, 2)))
            self.needed.add(leaf(locator(TWO, 1), locator(TWO, 2)))
            self.needed.add(leaf(locator(ONE, 2), locator(ONE, 3)))

        self.assertEqual([ONE], self.needed.packs())

    def test_those_that_come_first_get_the_room(self):
        with mock.patch.object(needed_places, '_RECORDS', 3):
            self.needed.add(leaf(locator(TWO, 1), locator(TWO, 2)))
            self.needed.add(leaf(locator(ONE, 1), locator(ONE, 2)))

        self.assertEqual([ONE], self.needed.packs())

    def test_room_that_another_pack_has_left(self):
        self.needed = needed_places.NeededPlaces([TWO, ONE])
        with mock.patch.object(needed_places, '_RECORDS', 3):
            self.needed.add(leaf(*(locator(ONE, n) for n in (1, 2))))
            self.needed.add(leaf(*(locator(ONE, n) for n in (3, 4))))
            self.needed.add(leaf(*(locator(TWO, n) for n in (1, 2, 3))))

        self.assertEqual([TWO], self.needed.packs())
