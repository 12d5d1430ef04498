# SPDX-License-Identifier: Apache-2.0
"""The records of a pack, whichever object holds them.

That is the pack, or if there is none any more what compaction has left of it.
There may be several of these for a while; each one will do.
"""

import collections
from collections.abc import Sequence
import contextlib

import numpy as np

from ebackup_service.repository import compacted_pack
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository.storage import base

# Of finding what is left of a pack, while one that is newer takes its place.
_ATTEMPTS = 3
# Bytes of tables that a reader keeps, beside the one that it used last.
_CACHED = 1024 * 1024


def compacted_keys(
    storage: base.Storage, address: location.PackAddress
) -> list[str]:
    """Keys of what compaction has left of a pack, the newest first.

    :raises Corrupt: there may be more, which can't be listed
    """
    if address.kind != location.DATA:
        return []
    # Each once, though it may be listed twice: whoever takes the others for
    # older ones deletes them.
    return sorted(
        {
            info.key
            for info in left_out.whole(
                storage, layout.compacted_prefix(address)
            )
            if layout.parse_compacted(info.key) == address
        },
        reverse=True,
    )


def load(
    repo: opened.OpenRepository, address: location.PackAddress
) -> pack_table.Table:
    """The table of a pack, or of what compaction has left of it.

    :raises ObjectMissing: there is neither
    :raises Corrupt: header, footer or length is damaged
    :raises UnsupportedFormat: it has a newer format
    """
    try:
        return pack_table.load(repo, address)
    except errors.ObjectMissing:
        return _compacted(repo, address).table


def scan(
    repo: opened.OpenRepository, address: location.PackAddress
) -> pack_table.Table:
    """The table that the records make; see pack_table.scan.

    :raises ObjectMissing: there is neither
    """
    try:
        return pack_table.scan(repo, address)
    except errors.ObjectMissing:
        pass
    try:
        return _scanned(repo, address).table
    except errors.Corrupt:
        # Nothing that can be found.
        return np.zeros(0, pack.TABLE)


def write(
    repo: opened.OpenRepository,
    address: location.PackAddress,
    table: pack_table.Table,
    records: Sequence[base.Buffer],
) -> tuple[str, int]:
    """Write records of a pack to a new object, which comes after all others.

    :param table: rows of the pack's table
    :param records: the bytes of each
    :returns: the object's key and size, bytes
    :raises RepositoryError: the storage's
    """
    number = max(
        (
            layout.compacted_name(key)[0]
            for key in compacted_keys(repo.storage, address)
        ),
        default=0,
    )
    parts = compacted_pack.seal(address, repo.uuid_bytes, table, records)
    key = layout.compacted_key(
        address, number + 1, compacted_pack.digest(parts)
    )
    with contextlib.suppress(errors.ObjectExists):
        repo.storage.create(key, parts)
    return key, sum(map(len, parts))


class PackReader:
    """Belongs to one thread at a time."""

    def __init__(self, repo: opened.OpenRepository) -> None:
        self._repo = repo
        # Packs that were found to be compacted, the one used last at the end.
        self._known: collections.OrderedDict[
            location.PackAddress, compacted_pack.CompactedPack
        ] = collections.OrderedDict()

    def read_into(
        self, address: location.PackAddress, begin: int, view: memoryview
    ) -> None:
        """Fill a buffer with bytes of a pack from an offset on.

        The buffer has to begin and end with records that are needed. Those
        between that nobody needs may be zeros.

        :raises ObjectMissing: nothing of it is there
        :raises ObjectTruncated: it is too short
        :raises Corrupt: what is left of it can't be listed
        :raises UnsupportedFormat: what is left of it has a newer format
        """
        storage = self._repo.storage
        if address not in self._known:
            try:
                storage.read_into(layout.pack_key(address), begin, view)
                return
            except errors.ObjectMissing:
                # What is left of a pack was there before that went.
                self._find(address)
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(errors.ObjectMissing):
                self._known[address].read_into(storage, begin, view)
                return
            # A newer one has taken its place.
            self._find(address)
        self._known[address].read_into(storage, begin, view)

    def _find(self, address: location.PackAddress) -> None:
        self._known.pop(address, None)
        try:
            found = _compacted(self._repo, address)
        except errors.Corrupt:
            found = _scanned(self._repo, address)
        while sum(k.table.nbytes for k in self._known.values()) > _CACHED:
            self._known.popitem(last=False)
        self._known[address] = found


def _compacted(
    repo: opened.OpenRepository, address: location.PackAddress
) -> compacted_pack.CompactedPack:
    """The newest that is whole.

    :raises ObjectMissing: there is none
    :raises Corrupt: there is none that is whole
    """
    for _ in range(_ATTEMPTS):
        damaged: errors.Corrupt | None = None
        for key in compacted_keys(repo.storage, address):
            try:
                return compacted_pack.load(repo, address, key)
            except errors.ObjectMissing:
                # A newer one has taken its place.
                continue
            except errors.Corrupt as error:
                damaged = damaged or error
        if damaged is not None:
            raise damaged
    raise _missing(address)


def _scanned(
    repo: opened.OpenRepository, address: location.PackAddress
) -> compacted_pack.CompactedPack:
    """The newest of which anything can be read.

    :raises ObjectMissing: there is none
    :raises Corrupt: it can't be known whether there is one
    """
    found: compacted_pack.CompactedPack | None = None
    for key in compacted_keys(repo.storage, address):
        with contextlib.suppress(errors.ObjectMissing):
            scanned = compacted_pack.scan(repo, address, key)
            if found is None or not len(found.table):
                found = scanned
    if found is None:
        raise _missing(address)
    return found


def _missing(address: location.PackAddress) -> errors.ObjectMissing:
    return errors.ObjectMissing(
        f'Pack {layout.pack_key(address)} is missing, and nothing is left of '
        'it by compaction'
    )
