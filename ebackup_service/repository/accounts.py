# SPDX-License-Identifier: Apache-2.0
"""The accounts that a repository holds.

They are there to save time. Whatever is wrong with one, or all of them being
gone, costs the next collection some, and nothing else.
"""

from collections.abc import Callable, Iterable

from ebackup_service.repository import account
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository.storage import base


class Accounts:
    """The newest account of each chain.

    :ivar newest: by chain
    :ivar wrong: how many were found not to be what they should
    """

    def __init__(self, left: left_out.LeftOut) -> None:
        """:param left: is told of what can't be listed, or changed"""
        self.wrong = 0
        self.newest: dict[tuple[str, str, int], account.Account] = {}
        self._keys: dict[tuple[str, str, int], str] = {}
        self._outdated: list[str] = []
        self._left = left

    @classmethod
    def load(
        cls,
        storage: base.Storage,
        check: Callable[[], None],
        left: left_out.LeftOut,
    ) -> 'Accounts':
        """Read all that there are, and can be read.

        :param check: called for each
        :param left: see Accounts
        :raises RepositoryError: the storage's, which doesn't list them
        """
        found = cls(left)
        keys = {
            info.key
            for info in left.list(layout.ACCOUNTS)
            if layout.is_account(info.key)
        }
        for key in sorted(keys):
            check()
            try:
                data = document.read_bytes(storage, account.KIND, key)
                found._add(key, account.Account.from_bytes(data, key))
            except errors.ObjectMissing:
                continue
            except (
                errors.Corrupt,
                errors.ObjectTruncated,
                errors.StorageDenied,
                errors.StorageUnavailable,
                errors.UnsupportedFormat,
            ):
                # Its chain is counted anew. If it's the storage that is away,
                # what comes next says so.
                found._outdated.append(key)
        return found

    def replace(
        self, storage: base.Storage, made: Iterable[account.Account]
    ) -> None:
        """Write accounts; those before them are outdated.

        One that there is no room for isn't written, nor one that the storage
        doesn't take while it answers.

        :raises RepositoryError: the storage's
        """
        for new in made:
            try:
                data = new.to_bytes()
            except ValueError:
                # Too long: this chain is counted each time.
                continue
            key = layout.account_key(document.digest(data))
            if key in self._outdated:
                # Damaged, but the same account.
                self._outdated.remove(key)
                self._left.delete(key)
            try:
                storage.create(key, [data])
            except errors.ObjectExists:
                pass
            except errors.StorageFull:
                # What is to be removed now makes room: for the next one.
                continue
            except errors.StorageUnavailable as error:
                self._left.note(account.KIND, key, error, 'written')
                continue
            self._add(key, new)

    def drop(self, chains: Iterable[tuple[str, str, int]]) -> None:
        """Take the accounts of some chains for outdated."""
        for chain in chains:
            del self.newest[chain]
            self._outdated.append(self._keys.pop(chain))

    def remove_outdated(self) -> None:
        for key in self._outdated:
            self._left.delete(key)
        self._outdated = []

    def _add(self, key: str, new: account.Account) -> None:
        known = self.newest.get(new.chain)
        if known is not None and known.number > new.number:
            self._outdated.append(key)
            return
        if known is not None and self._keys[new.chain] != key:
            self._outdated.append(self._keys[new.chain])
        self.newest[new.chain] = new
        self._keys[new.chain] = key
