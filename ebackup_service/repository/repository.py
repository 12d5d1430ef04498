# SPDX-License-Identifier: Apache-2.0
"""A repository: the entry to this package."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
from typing import Self
import uuid

from ebackup_service.repository import codec
from ebackup_service.repository import config as repository_config
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import opened
from ebackup_service.repository import owner
from ebackup_service.repository import pack
from ebackup_service.repository import root as image_root
from ebackup_service.repository import session
from ebackup_service.repository.storage import base
from ebackup_service.repository import tree


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Bytes and numbers of objects.

    :ivar total: of the storage, None where unknown
    :ivar free: of the storage, None where unknown
    :ivar used: by the objects of this repository
    """

    total: int | None
    free: int | None
    used: int
    packs: int
    images: int


class Repository(opened.OpenRepository):
    """See opened.OpenRepository; safe to share between threads."""

    @classmethod
    def create(
        cls,
        storage: base.Storage,
        repository_id: str | None = None,
        pack_size: int = pack.DEFAULT_SIZE,
    ) -> Self:
        """Make a new repository where nothing is yet.

        :param repository_id: UUID, a new one by default
        :param pack_size: bytes that packs are cut at
        :raises ObjectExists: there are objects already
        """
        config = repository_config.RepositoryConfig.new(
            repository_id or str(uuid.uuid4()), pack_size
        )
        for info in storage.list(''):
            raise errors.ObjectExists(
                f'The place for a new repository holds {info.key[:120]} '
                'already; take an empty one'
            )
        storage.create(layout.REPOSITORY, [config.to_bytes()])
        return cls(storage, config)

    @classmethod
    def open(
        cls, storage: base.Storage, repository_id: str | None = None
    ) -> Self:
        """Open the repository that a storage holds.

        :param repository_id: that it must have
        :raises NotARepository: there is none
        :raises RepositoryMismatch: it is another one
        :raises UnsupportedFormat: it takes a newer version
        :raises Corrupt: repository.json is damaged
        """
        try:
            data = document.read_bytes(
                storage, repository_config.KIND, layout.REPOSITORY
            )
        except errors.ObjectMissing as error:
            raise errors.NotARepository(
                'There is no repository in this place; create one, or mount '
                'the storage that has it'
            ) from error
        config = repository_config.RepositoryConfig.from_bytes(data)
        if repository_id is not None and config.id != repository_id:
            raise errors.RepositoryMismatch(
                f'Repository {config.id} is in the place of {repository_id}; '
                'check its URL and mounts'
            )
        return cls(storage, config)

    def claim(self, service_id: str, generation: int) -> None:
        """Make a service the owner; see owner.claim.

        :raises ForeignOwner: it belongs to another, or a newer one
        """
        self.config.require_write()
        # Who made the repository may have been stopped before that was
        # durable, and a place that holds the marker alone would be none, nor
        # become one.
        with contextlib.suppress(errors.ObjectExists):
            self.storage.create(layout.REPOSITORY, [self.config.to_bytes()])
        owner.claim(self.storage, service_id, generation)

    def take_over(
        self, service_id: str, generation: int
    ) -> tuple[owner.Owner | None, owner.Owner]:
        """Make a service the owner, whoever was; see owner.take_over."""
        self.config.require_write()
        return owner.take_over(self.storage, service_id, generation)

    def check_owner(self, service_id: str, generation: int) -> None:
        """Make sure that a service is the owner.

        :raises ForeignOwner: it isn't, or is no longer
        """
        owner.check(self.storage, service_id, generation)

    def session(
        self,
        session_id: str,
        generation: int,
        compression: str = 'zstd',
        level: int = codec.DEFAULT_LEVEL,
        run: int = 0,
    ) -> session.Session:
        """Begin to write.

        :param session_id: UUID of the job; nothing else writes under it
        :param generation: of the image that it makes, u32
        :param compression: 'zstd', 'lz4' or 'none'
        :param level: of zstd
        :param run: which run of the job it is; a later one has a greater one
        """
        self.config.require_write()
        return session.Session(
            self, session_id, generation, compression, level, run
        )

    def tree(self, root: image_root.Root) -> tree.Tree:
        """The tree of an image."""
        return tree.Tree(self, root.tree, root.size, root.chunk_size)

    def images(self) -> Iterator[str]:
        """Ids of all images that have a root or a marker."""
        return images.listing(self.storage)

    def root(self, image_id: str) -> image_root.Root:
        """The root of an image, whether it counts (is_marked) or not.

        :raises ImageMissing: there is no root
        :raises Corrupt: the root, or its marker, is damaged
        """
        return images.read_root(self.storage, image_id)

    def is_marked(self, image_id: str) -> bool:
        """Whether an image counts: a commit marker and no tombstone."""
        return images.is_marked(self.storage, image_id)

    def mark(self, image_id: str) -> None:
        """Write the marker of an image that the catalog has committed.

        For a service that finishes what a lost proxy has begun. Idempotent.

        :raises ImageMissing: there is no root
        :raises ImageDeleted: it has a tombstone
        """
        self.config.require_write()
        images.mark(self.storage, image_id)

    def delete_image(self, image_id: str) -> None:
        """Tombstone, marker, root. Idempotent, for unknown ids too."""
        self.config.require_write()
        images.delete(self.storage, image_id)

    def usage(
        self,
        left: left_out.LeftOut | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Usage:
        """What the repository takes; lists all of its objects.

        :param left: is told of what can't be listed, which isn't counted.
            None: that is raised
        :param check: called for each object; raises to stop
        """
        used = packs = 0
        image_ids = set()
        for info in (left or self.storage).list(''):
            check()
            used += info.size
            if layout.parse_pack(info.key) or layout.parse_compacted(info.key):
                packs += 1
            parsed = layout.parse_image(info.key)
            if parsed is not None:
                image_ids.add(parsed[0])
        space = self.storage.usage()
        return Usage(
            total=None if space is None else space.total,
            free=None if space is None else space.free,
            used=used,
            packs=packs,
            images=len(image_ids),
        )

    def close(self) -> None:
        """Close the storage."""
        self.storage.close()
