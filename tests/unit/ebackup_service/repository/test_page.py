# SPDX-License-Identifier: Apache-2.0
import os

from hypothesis import strategies as st
import numpy as np

from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import record
from tests import base
from tests.unit.ebackup_service.repository import strategies


def locator(number=1, ordinal=1, kind=location.DATA, **changes):
    where = location.Locator(
        id=bytes([number]) * 32,
        pack=location.PackAddress(bytes(16), kind, ordinal),
        offset=128 + number * 1000,
        length=1000,
        generation=number,
    )
    return where._replace(**changes)


class SlotsTestCase(base.BaseTestCase):
    def test_new_page_is_empty(self):
        leaf = page.Leaf(7)

        self.assertTrue(leaf.empty)
        self.assertEqual((0, 7), (leaf.level, leaf.index))
        self.assertFalse(leaf.present.any())
        self.assertIsNone(leaf.get(0))
        self.assertRaises(LookupError, leaf.locator, 255)

    @strategies.given(strategies.pages())
    def test_what_was_set_is_there(self, drawn):
        made, filled = drawn

        self.assertEqual(
            filled,
            {slot: made.get(slot) for slot in range(256) if made.get(slot)},
        )
        self.assertEqual(sorted(filled), made.present.nonzero()[0].tolist())
        for slot, where in filled.items():
            self.assertEqual(where.id, made.ids[slot].tobytes())
            self.assertEqual(where, made.locator(slot))

    def test_set_replaces_and_clear_empties(self):
        leaf = page.Leaf(0)
        leaf.set(3, locator(1))
        leaf.set(3, locator(2, ordinal=2))
        self.assertEqual(locator(2, ordinal=2), leaf.get(3))

        leaf.clear(3)
        self.assertTrue(leaf.empty)
        self.assertFalse(leaf.ids.any())

    def test_entry_layout(self):
        self.assertEqual(48, page.ENTRY.itemsize)
        self.assertEqual(
            [0, 32, 34, 36, 40, 44],
            [page.ENTRY.fields[name][1] for name in page.ENTRY.names],
        )

    def test_same_ids(self):
        leaf = page.Leaf(0)
        leaf.set(3, locator(1))
        leaf.set(4, locator(2))
        ids = np.zeros((256, 32), np.uint8)
        ids[3] = 1
        ids[4] = 1

        same = leaf.same_ids(ids)

        self.assertTrue(same[3])
        self.assertFalse(same[4])
        self.assertTrue(same[5])

    def test_same_places(self):
        one, two = page.Leaf(0), page.Leaf(0)
        other = location.PackAddress(bytes(16), location.DATA, 77)
        two.set(9, locator(9)._replace(pack=other))
        for slot in (1, 2, 3, 4):
            one.set(slot, locator(slot))
            two.set(slot, locator(slot))
        two.set(2, locator(2)._replace(pack=other))
        two.set(3, locator(3)._replace(offset=99999))
        two.clear(4)

        differ = [
            (~one.same_places(two)).nonzero()[0].tolist(),
            (~two.same_places(one)).nonzero()[0].tolist(),
        ]
        self.assertEqual([[2, 3, 4, 9]] * 2, differ)
        self.assertTrue(page.Leaf(0).same_places(page.Leaf(0)).all())

    def test_number_of_packs_is_bounded(self):
        leaf = page.Leaf(0)
        leaf.packs.extend([locator().pack] * 65536)

        self.assertRaises(ValueError, leaf.set, 0, locator())


class CopyTestCase(base.BaseTestCase):
    @strategies.given(
        strategies.pages(),
        strategies.pages(),
        st.sets(st.integers(0, 255), max_size=40),
    )
    def test_copied_slots_are_equal_and_others_untouched(
        self, one, two, chosen
    ):
        (target, before), (source, filled) = one, two
        expected = {
            slot: (filled if slot in chosen else before).get(slot)
            for slot in range(256)
        }
        mask = np.zeros(256, np.bool_)
        mask[sorted(chosen)] = True

        target.copy_slots(source, mask)

        self.assertEqual(
            expected, {slot: target.get(slot) for slot in range(256)}
        )

    @strategies.given(
        strategies.pages(), strategies.pages(), st.integers(0, 255)
    )
    def test_copied_slot_is_equal(self, one, two, slot):
        (target, _), (source, filled) = one, two

        target.copy_slot(source, slot)

        self.assertEqual(filled.get(slot), target.get(slot))


class EncodeTestCase(base.BaseTestCase):
    @strategies.given(strategies.pages(min_entries=1))
    def test_round_trip(self, drawn):
        made, filled = drawn

        plain = made.encode()
        found = page.decode(plain, made.level, made.index)

        self.assertEqual(
            filled,
            {slot: found.get(slot) for slot in range(256) if found.get(slot)},
        )
        self.assertEqual(made.level == 0, isinstance(found, page.Leaf))
        self.assertEqual(plain, found.encode())

    @strategies.given(strategies.pages(min_entries=1), st.randoms())
    def test_equal_content_has_equal_bytes(self, drawn, random):
        made, filled = drawn
        other = page.Page(made.level, made.index)
        # Other numbers for the packs, and packs that nobody uses any more.
        slots = list(filled)
        random.shuffle(slots)
        for slot in slots:
            kind = filled[slot].pack.kind
            other.set(slot, locator(9, ordinal=slot, kind=kind))
        for slot in slots:
            other.set(slot, filled[slot])

        self.assertEqual(made.encode(), other.encode())

    def test_layout(self):
        made = page.Page(2, 0x0102)
        made.set(9, locator(1, ordinal=5, kind=location.PAGE))

        plain = made.encode()

        self.assertEqual(64 + 24 + 48, len(plain))
        self.assertEqual(b'eBPg\x01\x02\0\0\x01\0\x01\0\0\0\0\0', plain[:16])
        self.assertEqual(b'\x02\x01' + bytes(14), plain[16:32])
        self.assertEqual(b'\0\x02' + bytes(30), plain[32:64])
        self.assertEqual(bytes(16) + b'\x02\0\0\0\x05\0\0\0', plain[64:88])
        self.assertEqual(b'\x01' * 32, plain[88:120])

    def test_empty_page_is_not_stored(self):
        self.assertRaises(ValueError, page.Leaf(0).encode)

    def test_full_page_fits_into_a_record(self):
        leaf = page.Leaf(0)
        for slot in range(256):
            leaf.set(slot, locator(slot, ordinal=slot))

        self.assertEqual(64 + 256 * 72, len(leaf.encode()))
        self.assertLess(64 + 512 * 24 + 512 * 48, record.MAX_PAGE)


class DecodeTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        leaf = page.Leaf(5)
        leaf.set(0, locator(1))
        leaf.set(9, locator(2, ordinal=2))
        self.plain = leaf.encode()

    def changed(self, offset, value):
        plain = bytearray(self.plain)
        plain[offset : offset + len(value)] = value
        return bytes(plain)

    def malformed(self, plain, level=0, index=5):
        self.assertRaises(record.Malformed, page.decode, plain, level, index)

    def test_another_page_is_refused(self):
        page.decode(self.plain, 0, 5)
        self.malformed(self.plain, 1, 5)
        self.malformed(self.plain, 0, 6)

    def test_impossible_lengths_are_refused(self):
        self.malformed(b'')
        self.malformed(self.plain[:63])
        self.malformed(self.plain[:-1])
        self.malformed(self.plain + b'x')
        self.malformed(self.plain + bytes(70000))

    def test_impossible_fields_are_refused(self):
        entry = 64 + 2 * 24
        for offset, value in (
            (0, b'eBPh'),
            (8, b'\0\0'),
            (8, b'\x01\0'),
            (8, b'\xff\xff'),
            (10, b'\0\0'),
            (10, b'\x01\x01'),
            (14, b'\x01'),
            (24, b'\x01'),
            (32, b'\x03'),
            (32, b'\0'),
            (64 + 16, b'\x02'),
            (64 + 17, b'\x01'),
            (entry + 32, b'\x02\0'),
            (entry + 34, b'\x01\0'),
            (entry + 36, b'\xff\xff\xff\xff'),
            (entry + 40, b'\0\0\0\0'),
            (entry + 40, b'\x40\0\0\0'),
            (entry + 40, b'\xff\xff\xff\xff'),
        ):
            self.malformed(self.changed(offset, value))

    def test_features_to_come_are_told_from_damage(self):
        for offset, value in ((4, b'\x02'), (6, b'\x01'), (12, b'\x01')):
            self.assertRaises(
                errors.UnsupportedFormat,
                page.decode,
                self.changed(offset, value),
                0,
                5,
            )

    @strategies.given(
        st.one_of(
            st.binary(max_size=300),
            st.binary(max_size=300).map(lambda data: b'eBPg\x01\0' + data),
        )
    )
    def test_garbage_is_refused(self, plain):
        self.assertRaises(
            (record.Malformed, errors.UnsupportedFormat),
            page.decode,
            plain,
            0,
            5,
        )

    @strategies.given(st.data())
    def test_damage_never_crashes(self, data):
        plain = bytearray(self.plain)
        for _ in range(data.draw(st.integers(1, 4))):
            plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(
                st.integers(0, 255)
            )
        try:
            found = page.decode(bytes(plain), 0, 5)
        except (record.Malformed, errors.UnsupportedFormat):
            return
        for slot in found.present.nonzero()[0].tolist():
            found.locator(slot)

    def test_decoded_page_can_be_changed(self):
        found = page.decode(self.plain, 0, 5)
        found.set(1, locator(3, ordinal=2))
        found.set(2, locator(4, ordinal=os.getpid()))

        again = page.decode(found.encode(), 0, 5)

        self.assertEqual([0, 1, 2, 9], again.present.nonzero()[0].tolist())
        self.assertEqual(3, len(again.packs))
