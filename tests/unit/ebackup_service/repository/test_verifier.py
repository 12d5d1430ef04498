# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import pack
from ebackup_service.repository import verifier
from tests.unit.ebackup_service.repository import base


class PackVerifierTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        image = self.backup(os.urandom(20 * base.CHUNK))
        leaf = self.repo.tree(image.root).leaf(0)
        self.chunks = [leaf.locator(slot) for slot in range(20)]
        self.address = self.chunks[0].pack
        self.key = layout.pack_key(self.address)
        self.records = damage.DamagedRecords()
        self.paces = []

    def verify(self):
        read = verifier.PackVerifier(self.repo, self.records).verify(
            self.address, self.paces.append
        )
        return read, [offset for _, offset in self.records.told]

    def test_sound_pack(self):
        with mock.patch.object(verifier, 'READ_SIZE', 3 * base.CHUNK):
            read, damaged = self.verify()

        self.assertEqual(sum(c.length for c in self.chunks), read)
        self.assertEqual(read, sum(self.paces))
        self.assertLess(5, len(self.paces))
        self.assertEqual([], damaged)

    def test_damaged_records_are_found_and_others_not(self):
        wrong = [self.chunks[number] for number in (0, 7, 19)]
        for where in wrong:
            self.flip(self.key, where.offset + 64 + 99)
        # A header, too.
        self.flip(self.key, self.chunks[3].offset + 5)
        wrong.insert(1, self.chunks[3])

        self.assertEqual([w.offset for w in wrong], self.verify()[1])
        told = self.records.told[self.address, wrong[0].offset]
        self.assertEqual(wrong[0].id, told.id)
        self.assertIn(self.key, str(told.error))

    def test_damaged_footer_hides_nothing(self):
        self.flip(self.key, self.storage.size(self.key) - pack.TRAILER_SIZE)
        self.flip(self.key, self.chunks[3].offset + 64)

        self.assertEqual([self.chunks[3].offset], self.verify()[1])
        self.assertEqual({self.address: False}, self.records.lost)

    def test_pack_that_ends_early(self):
        cut = self.chunks[10].offset + 100
        os.truncate(os.path.join(self.path, self.key), cut)

        read, damaged = self.verify()

        # What is not there any more is found by who looks for it.
        self.assertEqual(sum(c.length for c in self.chunks[:10]), read)
        self.assertEqual([], damaged)

    def test_missing_pack_is_no_damage_here(self):
        os.unlink(os.path.join(self.path, self.key))

        self.assertEqual((0, []), self.verify())
        self.assertEqual({self.address: True}, self.records.lost)

    def test_storage_that_is_away_is_no_missing_pack(self):
        os.unlink(os.path.join(self.path, self.key))
        os.unlink(os.path.join(self.path, layout.REPOSITORY))

        self.assertRaises(errors.StorageUnavailable, self.verify)

        self.assertEqual({}, self.records.lost)

    def test_pack_that_shrinks_meanwhile(self):
        def pace(length):
            os.truncate(os.path.join(self.path, self.key), 200)

        verifier.PackVerifier(self.repo, self.records).verify(
            self.address, pace
        )

        self.assertEqual(20, len(self.records))
