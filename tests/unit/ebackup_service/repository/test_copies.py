# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import copies
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from tests.unit.ebackup_service.repository import test_compacted_pack
from tests.unit.ebackup_service.repository import unlistable

KEPT = test_compacted_pack.KEPT


class CopiesTestCase(test_compacted_pack.CompactedPackTestCase):
    """``key``: what compaction has left of the pack."""

    def setUp(self):
        super().setUp()
        self.pack_key = layout.pack_key(self.address)
        self.reader = copies.PackReader(self.repo)

    def copy(self, number, data=None):
        """Another object that compaction has left."""
        key = layout.compacted_key(self.address, number, '0a' * 32)
        self.storage.create(key, [data or self.storage.read(self.key)])
        return key

    def fetch(self, number, last=None):
        begin = self.where[number].offset
        where = self.where[number if last is None else last]
        data = bytearray(where.offset + where.length - begin)
        self.reader.read_into(self.address, begin, memoryview(data))
        return bytes(data)

    def offsets(self, numbers):
        return [self.where[number].offset for number in numbers]

    def requests(self):
        return mock.patch.object(
            self.storage, 'read_into', wraps=self.storage.read_into
        )


class KeysTestCase(CopiesTestCase):
    def test_newest_first(self):
        newer = self.copy(0x10)
        newest = self.copy(0x20)
        # Whatever else is there.
        prefix = layout.compacted_prefix(self.address)
        self.storage.create(f'{prefix}foreign', [b'x'])

        self.assertEqual(
            [newest, newer, self.key],
            copies.compacted_keys(self.storage, self.address),
        )

    def test_pages_are_never_compacted(self):
        address = self.address._replace(kind=location.PAGE)
        with mock.patch.object(self.storage, 'list') as listing:
            self.assertEqual([], copies.compacted_keys(self.storage, address))
        listing.assert_not_called()


class TableTestCase(CopiesTestCase):
    def load(self):
        return copies.load(self.repo, self.address)['offset'].tolist()

    def scan(self):
        return copies.scan(self.repo, self.address)['offset'].tolist()

    def test_pack_comes_first(self):
        for found in (self.load(), self.scan()):
            self.assertEqual(self.offsets(range(20)), found)

    def test_what_compaction_has_left(self):
        self.storage.delete(self.pack_key)

        for found in (self.load(), self.scan()):
            self.assertEqual(self.offsets(KEPT), found)

    def test_nothing_is_left(self):
        self.storage.delete(self.pack_key)
        self.storage.delete(self.key)

        for find in (self.load, self.scan):
            error = self.assertRaises(errors.ObjectMissing, find)
            self.assertIn(self.pack_key, str(error))

    def test_damaged_pack_is_not_replaced_by_what_is_left(self):
        """It has all records, and who checks is told of it."""
        self.flip(self.pack_key, len(self.pack) - 1)

        self.assertRaises(errors.Corrupt, self.load)
        self.assertEqual(self.offsets(range(20)), self.scan())

    def test_one_that_is_damaged_beside_one_that_is_whole(self):
        self.storage.delete(self.pack_key)
        self.copy(2, b'damaged')

        self.assertEqual(self.offsets(KEPT), self.load())
        self.assertEqual(self.offsets(KEPT), self.scan())

    def test_damaged_footer_is_told_and_made_good(self):
        self.storage.delete(self.pack_key)
        self.flip(self.key, self.length - pack.TRAILER_SIZE)

        self.assertRaises(errors.Corrupt, self.load)
        self.assertEqual(self.offsets(KEPT), self.scan())


class ReaderTestCase(CopiesTestCase):
    def test_pack_that_is_there(self):
        with self.requests() as read_into:
            self.assertEqual(self.record(3), self.fetch(3))

        self.assertEqual(1, read_into.call_count)

    def test_pack_that_was_compacted(self):
        self.storage.delete(self.pack_key)

        for number in KEPT:
            self.assertEqual(self.record(number), self.fetch(number))
        run = self.fetch(1, 5)
        self.assertTrue(run.startswith(self.record(1) + self.record(2)))
        self.assertTrue(run.endswith(self.record(5)))

    def test_what_is_known_is_not_looked_for_again(self):
        self.storage.delete(self.pack_key)
        self.fetch(1)
        with mock.patch.object(self.storage, 'list') as listing:
            with self.requests() as read_into:
                self.assertEqual(self.record(2), self.fetch(2))

        listing.assert_not_called()
        self.assertEqual(1, read_into.call_count)

    def test_what_is_known_is_bounded(self):
        self.storage.delete(self.pack_key)
        with mock.patch.object(copies, '_CACHED', 0):
            self.fetch(1)
            self.reader._known[self.address._replace(ordinal=99)] = mock.Mock(
                table=mock.Mock(nbytes=1)
            )
            self.reader._find(self.address)

        self.assertEqual([self.address], [*self.reader._known])

    def test_newer_one_takes_the_place_of_what_is_known(self):
        self.storage.delete(self.pack_key)
        self.fetch(1)
        self.copy(2)
        self.storage.delete(self.key)

        self.assertEqual(self.record(2), self.fetch(2))

    def test_newer_one_takes_the_place_of_what_was_listed(self):
        """Between the listing and the reading, again and again."""
        self.storage.delete(self.pack_key)
        number = 1
        newest = self.key
        keys = copies.compacted_keys

        def list_early(storage, address):
            nonlocal number, newest
            found = keys(storage, address)
            if number < copies._ATTEMPTS:
                number += 1
                previous = newest
                newest = self.copy(number, self.storage.read(previous))
                storage.delete(previous)
            return found

        with mock.patch.object(copies, 'compacted_keys', list_early):
            self.assertEqual(self.record(1), self.fetch(1))
        self.assertEqual(copies._ATTEMPTS, number)

    def test_damaged_footer_costs_no_record(self):
        self.storage.delete(self.pack_key)
        self.flip(self.key, self.length - 1)

        self.assertEqual(self.record(9), self.fetch(9))

    def test_nothing_is_left(self):
        self.storage.delete(self.pack_key)
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.fetch, 1)

    def test_nothing_is_left_of_what_is_known(self):
        self.storage.delete(self.pack_key)
        self.fetch(1)
        self.storage.delete(self.key)

        self.assertRaises(errors.ObjectMissing, self.fetch, 1)

    def test_object_without_bytes_is_nothing(self):
        self.storage.delete(self.pack_key)
        os.truncate(os.path.join(self.path, self.key), 0)

        self.assertEqual(bytes(10), self.fetch(1)[:10])

    def test_tables_agree(self):
        whole = pack_table.load(self.repo, self.address)
        self.storage.delete(self.pack_key)

        self.assertEqual(
            whole[KEPT].tobytes(),
            copies.load(self.repo, self.address).tobytes(),
        )


class UnlistableTestCase(CopiesTestCase):
    """Nobody knows what compaction has left of a pack."""

    def setUp(self):
        super().setUp()
        self.storage = self.repo.storage = unlistable.UnlistableStorage(
            self.storage
        )
        self.directory = layout.compacted_prefix(self.address)[:-1]
        self.storage.bad[self.directory] = 1000

    def test_keys(self):
        error = self.assertRaises(
            errors.Corrupt, copies.compacted_keys, self.storage, self.address
        )

        self.assertEqual(self.directory, error.name)

    def test_each_is_named_once(self):
        """Although a directory was read in part, and then again."""
        self.storage.late = True
        self.storage.bad[self.directory] = 1

        self.assertEqual(
            [self.key], copies.compacted_keys(self.storage, self.address)
        )

    def test_pack_that_is_there_is_read(self):
        self.assertEqual(20, len(copies.load(self.repo, self.address)))
        self.fetch(0)

    def test_pack_that_is_gone(self):
        self.storage.delete(self.pack_key)
        self.reader = copies.PackReader(self.repo)

        self.assertRaises(errors.Corrupt, copies.load, self.repo, self.address)
        self.assertEqual(0, len(copies.scan(self.repo, self.address)))
        self.assertRaises(errors.Corrupt, self.fetch, 0)
        self.storage.bad.clear()
        self.fetch(KEPT[0])

    def test_object_of_which_the_size_is_unknown_is_known(self):
        self.storage.bad.clear()
        self.storage.bad[self.key] = 1000

        self.assertEqual(
            [self.key], copies.compacted_keys(self.storage, self.address)
        )
