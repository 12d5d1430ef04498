# SPDX-License-Identifier: Apache-2.0
"""Ids of chunks and pages; section "Ids" of the format."""

from collections.abc import Callable

import blake3

from ebackup_service.repository.storage import base

KEY_SIZE = 32
ID_SIZE = 32
_PAGE_CONTEXT = 'ebackup repository 1 page'

Hasher = Callable[[base.Buffer], bytes]


def chunk_hasher(key: bytes) -> Hasher:
    """The function from a chunk's bytes to its id, for a domain's key."""
    return _keyed(key)


def page_hasher(key: bytes) -> Hasher:
    """The function from a page's bytes to its id, for a domain's key."""
    derived = blake3.blake3(key, derive_key_context=_PAGE_CONTEXT).digest()
    return _keyed(derived)


def _keyed(key: bytes) -> Hasher:
    algorithm = blake3.blake3

    def hasher(plain: base.Buffer) -> bytes:
        return algorithm(plain, key=key).digest()

    return hasher
