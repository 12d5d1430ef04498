# SPDX-License-Identifier: Apache-2.0
import os

import fixtures

from ebackup_service.repository import layout
from ebackup_service.repository import page
from ebackup_service.repository import tables
from tests.unit.ebackup_service.repository import base


class PackTablesTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.damage = []
        self.tables = tables.PackTables(self.repo, self.damage.append)
        chunks = self.repo.session(base.new_id(), 1).writer()
        self.leaf = page.Leaf(0)
        for slot in range(5):
            self.leaf.set(
                slot, chunks.add(bytes([slot]) * 32, os.urandom(100))
            )
        chunks.flush()
        self.address = self.leaf.locator(0).pack
        self.key = layout.pack_key(self.address)

    def test_table_of_a_pack(self):
        table = self.tables.get(self.address)

        self.assertEqual(5, len(table))
        self.assertIs(table, self.tables.get(self.address))
        self.assertEqual([], self.damage)

    def test_damaged_footer_is_told_once_and_made_good(self):
        self.flip(self.key, self.storage.size(self.key) - 1)
        self.tables.get(self.address)
        self.tables._tables.clear()

        table = self.tables.get(self.address)

        self.assertEqual(5, len(table))
        self.assertEqual(1, len(self.damage))
        self.assertIn(self.key, self.damage[0].name)

    def test_missing_pack_is_told_once(self):
        missing = self.address._replace(ordinal=99)

        self.assertIsNone(self.tables.get(missing))
        self.assertIsNone(self.tables.get(missing))
        self.assertEqual(1, len(self.damage))

    def test_memory_is_bounded(self):
        self.patch_size(10 * tables._ENTRY)
        for ordinal in range(100, 150):
            self.tables.get(self.address._replace(ordinal=ordinal))
            self.tables.get(self.address)

        self.assertLessEqual(len(self.tables._tables), 11)
        self.assertIn(self.address, self.tables._tables)

    def test_one_that_is_larger_than_all_is_kept_alone(self):
        self.patch_size(0)
        self.tables.get(self.address._replace(ordinal=99))
        table = self.tables.get(self.address)

        self.assertEqual([self.address], list(self.tables._tables))
        self.assertIs(table, self.tables.get(self.address))

    def patch_size(self, size):
        self.useFixture(fixtures.MockPatchObject(tables, '_CACHED', size))

    def test_find(self):
        table = self.tables.get(self.address)
        _, lengths = tables.find(table, self.leaf.entries[:5])
        self.assertEqual([100] * 5, lengths.tolist())
        self.assertTrue(tables.find(table, self.leaf.entries[:5])[0].all())
        where = self.leaf.locator(2)
        self.leaf.set(0, where._replace(id=b'x' * 32))
        self.leaf.set(1, where._replace(length=where.length + 1))
        self.leaf.set(3, where._replace(offset=where.offset + 1))
        self.leaf.set(4, where._replace(offset=10**6))

        self.assertEqual(
            [False, False, True, False, False],
            tables.find(table, self.leaf.entries[:5])[0].tolist(),
        )
        self.assertFalse(
            tables.find(table[:0], self.leaf.entries[:5])[0].any()
        )
