# SPDX-License-Identifier: Apache-2.0
"""Collections that go on from what the last one has counted."""

import os
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import base

MIB = 1024 * 1024


class AccountsTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.images = [self.backup(os.urandom(3 * MIB))]
        for number in range(1, 5):
            data = bytearray(self.images[-1].data)
            data[number * 300_000] ^= 1
            self.images.append(
                self.backup(
                    bytes(data), base=self.images[-1], generation=number + 1
                )
            )
        self.chain = image_root.Chain('project', 'other')
        self.other = self.backup(os.urandom(MIB), chain=self.chain)
        self.collect()

    def accounts(self):
        return {
            key: self.storage.read(key) for key in self.keys(layout.ACCOUNTS)
        }

    def assert_right(self):
        """Everything is there, and looking at everything finds no more."""
        for image in (*self.images, self.other):
            self.assertEqual(image.data, self.restore(image.id))
        before = self.keys()

        result = self.collect(whole=True)

        self.assertEqual((0, 0), (result.packs_removed, result.accounts_wrong))
        self.assertEqual(before, self.keys())

    def test_one_account_a_chain(self):
        self.assertEqual(2, len(self.accounts()))

    def test_nothing_is_written_if_nothing_has_changed(self):
        before = self.accounts()
        self.collect()
        self.collect(whole=True)

        self.assertEqual(before, self.accounts())

    def test_any_image_may_go(self):
        for number in (0, 1, -1):
            self.repo.delete_image(self.images.pop(number).id)
            self.collect()

            self.assertEqual(2, len(self.accounts()))
            self.assert_right()

    def test_chain_may_go(self):
        for image in self.images:
            self.repo.delete_image(image.id)
        self.images = []
        self.collect()

        self.assertEqual(1, len(self.accounts()))
        self.assert_right()

    def test_backup_and_deletion(self):
        self.repo.delete_image(self.images.pop(2).id)
        self.images.append(
            self.backup(os.urandom(MIB), base=self.images[-1], generation=9)
        )
        self.collect()

        self.assert_right()

    def test_accounts_that_are_gone(self):
        for key in self.accounts():
            self.storage.delete(key)
        self.repo.delete_image(self.images.pop(2).id)
        self.collect()

        self.assertEqual(2, len(self.accounts()))
        self.assert_right()

    def test_accounts_that_are_damaged(self):
        for key in self.accounts():
            self.flip(key, 300)
        self.repo.delete_image(self.images.pop(2).id)
        self.collect()

        self.assertEqual(2, len(self.accounts()))
        self.assert_right()

    def test_accounts_that_the_storage_does_not_read(self):
        """A bad block, or a file of another user."""
        read = self.storage.read
        for error in (errors.StorageUnavailable, errors.StorageDenied):
            lost = self.keys(layout.ACCOUNTS)

            def failing(key, fresh=False, *, error=error, lost=lost):
                if key in lost:
                    raise error(f'Input/output error when reading {key}')
                return read(key)

            self.repo.delete_image(self.images.pop(2).id)
            with mock.patch.object(self.storage, 'read', failing):
                self.collect()

            self.assertEqual(2, len(self.accounts()))
            self.assert_right()

    def test_storage_that_is_full(self):
        """A collection is what makes room."""
        for image in self.images:
            self.repo.delete_image(image.id)
        self.images = [self.backup(os.urandom(MIB), generation=9)]
        create = self.storage.create

        def full(key, parts):
            if layout.is_account(key):
                raise errors.StorageFull('No space left on device')
            create(key, parts)

        with mock.patch.object(self.storage, 'create', full):
            result = self.collect()

        self.assertLess(0, result.packs_removed)
        self.assert_right()
        self.assertEqual(2, len(self.accounts()))

    def test_accounts_that_are_back_after_a_power_loss(self):
        """Those of then, with the new ones or in their place."""
        old = self.accounts()
        for number in (1, 0):
            self.repo.delete_image(self.images.pop(number).id)
            self.collect()
            for key in self.accounts():
                if number:
                    self.storage.delete(key)
            for key in old.keys() - self.accounts().keys():
                self.storage.create(key, [old[key]])
            self.collect()

            self.assertEqual(2, len(self.accounts()))
            self.assert_right()

    def test_pinned_image_that_was_deleted(self):
        gone = self.backup(os.urandom(MIB), base=self.images[-1], generation=9)
        self.collect()
        self.repo.delete_image(gone.id)
        pin = (gone.root.tree, gone.root.size, base.CHUNK)
        for _ in range(2):
            self.collect(pins=[pin])
            source = self.repo.tree(gone.root)
            self.assertEqual(gone.data, base.restored(self.repo, source))

        result = self.collect()

        self.assertLess(0, result.packs_removed)
        self.assert_right()
