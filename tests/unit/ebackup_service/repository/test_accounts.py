# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from ebackup_service.repository import accounts
from ebackup_service.repository import document
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_account
from tests.unit.ebackup_service.repository import unlistable

CHAIN = test_account.CHAIN


class AccountsTestCase(base.RepositoryTestCase):
    def load(self):
        return accounts.Accounts.load(
            self.storage,
            base.nothing_to_check,
            left_out.LeftOut(self.storage),
        )

    def write(self, *made):
        found = self.load()
        found.replace(self.storage, made)
        return found

    def test_what_was_written_is_read(self):
        made = test_account.made(test_account.entry(1))
        self.write(made)

        self.assertEqual({CHAIN: made}, self.load().newest)

    def test_newest_counts_and_the_others_are_removed(self):
        made = [
            test_account.made(test_account.entry(1), number=number)
            for number in (2, 3, 1)
        ]
        for one in made:
            self.write(one)
        self.assertEqual(3, len(self.keys(layout.ACCOUNTS)))

        found = self.load()
        found.remove_outdated()

        self.assertEqual(3, found.newest[CHAIN].number)
        self.assertEqual(1, len(self.keys(layout.ACCOUNTS)))
        self.assertEqual({CHAIN: made[1]}, self.load().newest)

    def test_old_one_stays_until_it_is_removed(self):
        self.write(test_account.made(number=1))
        found = self.write(test_account.made(number=2))
        self.assertEqual(2, len(self.keys(layout.ACCOUNTS)))

        found.remove_outdated()

        self.assertEqual(2, self.load().newest[CHAIN].number)
        self.assertEqual(1, len(self.keys(layout.ACCOUNTS)))

    def test_same_one_again(self):
        made = test_account.made()
        self.write(made)
        self.write(made).remove_outdated()

        self.assertEqual({CHAIN: made}, self.load().newest)

    def test_dropped_one_is_removed(self):
        found = self.write(test_account.made())
        found.drop([CHAIN])
        found.remove_outdated()

        self.assertEqual({}, found.newest)
        self.assertEqual(set(), self.keys(layout.ACCOUNTS))

    def test_damaged_one_is_none_and_is_removed(self):
        self.write(test_account.made())
        (key,) = self.keys(layout.ACCOUNTS)
        self.flip(key, 200)

        found = self.load()
        found.remove_outdated()

        self.assertEqual({}, found.newest)
        self.assertEqual(set(), self.keys(layout.ACCOUNTS))

    def test_damaged_one_that_is_listed_twice_is_replaced(self):
        made = test_account.made()
        self.write(made)
        (key,) = self.keys(layout.ACCOUNTS)
        self.flip(key, 200)
        self.storage = unlistable.UnlistableStorage(self.storage)
        self.storage.late = True
        self.storage.bad['accounts'] = 1

        self.write(made).remove_outdated()

        self.assertEqual({CHAIN: made}, self.load().newest)

    def test_foreign_objects_stay(self):
        self.storage.create('accounts/readme', [b'x'])
        self.load().remove_outdated()

        self.assertIn('accounts/readme', self.keys())

    def test_one_that_is_too_long_is_not_written(self):
        with mock.patch.object(document, 'MAX_SIZE', 100):
            self.write(test_account.made())

        self.assertEqual(set(), self.keys(layout.ACCOUNTS))
