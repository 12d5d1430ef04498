# SPDX-License-Identifier: Apache-2.0
"""A repository that has been found and understood: storage, identity, ids.

What trees, readers and writers need of a repository.
"""

import functools
import uuid

from ebackup_service.repository import config as repository_config
from ebackup_service.repository import ids
from ebackup_service.repository.storage import base


class OpenRepository:
    """Immutable, so any number of threads may share it.

    :ivar storage: where its objects are
    :ivar config: what it is
    :ivar id: its UUID
    """

    def __init__(
        self,
        storage: base.Storage,
        config: repository_config.RepositoryConfig,
    ) -> None:
        self.storage = storage
        self.config = config
        self.id = config.id
        self._hash_chunk = ids.chunk_hasher(config.key)
        self._hash_page = ids.page_hasher(config.key)

    @functools.cached_property
    def uuid_bytes(self) -> bytes:
        """The 16 bytes that packs carry."""
        return uuid.UUID(self.id).bytes

    def hasher(self) -> ids.Hasher:
        """The function from a chunk's bytes to its id (32 bytes)."""
        return self._hash_chunk

    def page_hasher(self) -> ids.Hasher:
        """The function from a page's bytes to its id (32 bytes)."""
        return self._hash_page

    def chunk_id(self, plain: base.Buffer) -> bytes:
        """The id of a chunk; hot paths call hasher() once instead."""
        return self._hash_chunk(plain)
