# SPDX-License-Identifier: Apache-2.0
"""Damage anywhere in a pack: named, and never taken for data."""

from collections.abc import Iterator
import os

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import page
from ebackup_service.repository import record
from ebackup_service.repository import tree
from tests.unit.ebackup_service.repository import damage
from tests.unit.ebackup_service.repository import hostile


class PackTestCase(damage.DamageTestCase):
    def regions(self, key: str) -> Iterator[tuple[damage.Region, bool]]:
        """All regions of a pack, and whether who reads records needs it."""
        address = layout.parse_pack(key)
        table = pack_table.load(self.repo, address)
        for region in damage.fields('header', 0, damage.PACK_HEADER):
            yield region, False
        for row in table:
            begin = int(row['offset'])
            for region in damage.fields('record', begin, damage.RECORD_HEADER):
                yield region, True
            begin += record.HEADER_SIZE
            length = int(row['plain_length'])
            yield damage.Region('payload', begin, length), True
            if address.kind == location.PAGE:
                for region in self.page_regions(key, begin, length):
                    yield region, True
        begin = int(row['offset'] + row['length'])
        for region in damage.fields('footer', begin, damage.ROW):
            yield region, False
        end = begin + len(table) * pack.ROW_SIZE
        for region in damage.fields('trailer', end, damage.TRAILER):
            yield region, False
        self.assertEqual(end + pack.TRAILER_SIZE, self.storage.size(key))

    def page_regions(
        self, key: str, begin: int, length: int
    ) -> Iterator[damage.Region]:
        packs = self.object(key)[begin + 8]
        yield from damage.fields('page', begin, damage.PAGE_HEADER)
        begin += page.HEADER_SIZE
        yield from damage.fields('pack of a page', begin, damage.PAGE_PACK)
        begin += packs * page.PACK_SIZE
        yield from damage.fields('entry of a page', begin, damage.PAGE_ENTRY)

    def assert_flips_are_told(self, kind: int):
        key = self.pack(kind)
        for region, needed in self.regions(key):
            for offset in region.offsets():
                with self.subTest(region=region.name, offset=offset):
                    with self.flipped(key, offset):
                        self.assert_told(key)
                        said = self.outcome(self.restore_both)
                        self.assertEqual(needed, key in said, said)
                        self.assert_collection(
                            stops=needed and kind == location.PAGE
                        )
        self.assertEqual([], self.check().problems)

    def test_flipped_bits_of_a_data_pack(self):
        self.assert_flips_are_told(location.DATA)

    def test_flipped_bits_of_a_page_pack(self):
        self.assert_flips_are_told(location.PAGE)

    def test_truncated_at_every_boundary(self):
        for kind in location.KINDS:
            key = self.pack(kind)
            whole = self.object(key)
            for region, _ in self.regions(key):
                with self.subTest(kind=kind, region=region.name):
                    with self.instead(key, whole[: region.begin]):
                        self.assert_told(key)
                        said = self.outcome(self.restore_both)
                        self.assertTrue(not said or key in said, said)

    def test_longer_pack(self):
        for kind in location.KINDS:
            key = self.pack(kind)
            for more in (b'\0', os.urandom(100), self.object(key)):
                with self.instead(key, self.object(key) + more):
                    self.assert_told(key)
                    self.restore_both()

    def test_huge_pack(self):
        key = self.pack(location.DATA)
        length = self.storage.size(key)
        os.truncate(os.path.join(self.path, key), 2**40)

        self.assert_told(key)
        self.restore_both()
        os.truncate(os.path.join(self.path, key), length)

    def test_pack_under_the_name_of_another(self):
        data, pages = self.pack(location.DATA), self.pack(location.PAGE)
        other = [
            key
            for key in sorted(self.before)
            if layout.parse_pack(key) and key not in (data, pages)
        ]
        for key in (data, pages):
            for impostor in {data, pages, *other} - {key}:
                with self.instead(key, self.object(impostor)):
                    self.assert_told(key)
                    self.assertIn(key, self.outcome(self.restore_both))

    def test_pack_of_another_repository(self):
        key = self.pack(location.DATA)
        data = bytearray(self.object(key))
        data[: pack.HEADER_SIZE] = pack.pack_header(
            layout.parse_pack(key), os.urandom(16)
        )
        with self.instead(key, data):
            self.assert_told(key)

    def test_records_that_changed_places(self):
        key = self.pack(location.DATA)
        one, two = pack_table.load(self.repo, layout.parse_pack(key))[:2]
        data = bytearray(self.object(key))
        spans = [
            slice(int(row['offset']), int(row['offset'] + row['length']))
            for row in (one, two)
        ]
        data[spans[0]], data[spans[1]] = data[spans[1]], data[spans[0]]
        with self.instead(key, data):
            self.assert_told(key)
            self.assertIn(key, self.outcome(self.restore_both))


class NewerPackTestCase(damage.DamageTestCase):
    """Parts of a format to come, with right checksums, are no damage."""

    def assert_newer(self, key: str, at: int, value: int, function):
        data = bytearray(self.object(key))
        data[at] = value
        with self.instead(key, hostile.with_checksums(bytes(data))):
            error = self.assertRaises(errors.UnsupportedFormat, function)
            self.assertIn(key, str(error))
            self.assertIn('upgrade', str(error))
            self.assertLess(len(str(error)), 255)

    def test_pack(self):
        for kind in location.KINDS:
            self.assert_newer(self.pack(kind), 8, 2, self.check)

    def test_record(self):
        encrypted = 0x80
        for kind in location.KINDS:
            for function in (self.check, self.restore_both):
                self.assert_newer(
                    self.pack(kind),
                    pack.HEADER_SIZE + 5,
                    encrypted,
                    function,
                )

    def test_page(self):
        key = self.pack(location.PAGE)
        address = layout.parse_pack(key)
        shape = self.repo.tree(self.first.root)
        where = shape.where(0, 1)
        self.assertEqual(address, where.pack)
        plain = bytearray(
            self.object(key)[
                where.offset + record.HEADER_SIZE : where.offset + where.length
            ]
        )
        plain[4] = 2

        error = self.assertRaises(
            errors.UnsupportedFormat,
            tree.decode,
            plain,
            where,
            0,
            1,
            shape.geometry,
        )
        self.assertIn(key, str(error))
