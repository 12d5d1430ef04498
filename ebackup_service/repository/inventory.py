# SPDX-License-Identifier: Apache-2.0
"""What a repository says of its images to who knows nothing else.

Only marked roots count, and tombstones keep the deleted deleted; what doesn't
count may still tell which generations must not be used again.
"""

from collections.abc import Iterator
import dataclasses

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.repository import root as image_root
from ebackup_service.repository.storage import base


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """A generation that was used.

    :ivar chunk_size: of that image, bytes; None if it isn't known any more
    """

    chain: image_root.Chain
    generation: int
    chunk_size: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Damaged:
    """An image with a marker and no tombstone that can't be used.

    :ivar reason: what is wrong with it
    :ivar spent: what its root says all the same
    :ivar generation: what its marker says, if the root says nothing
    """

    image_id: str
    reason: str
    spent: Spent | None = None
    generation: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Deleted:
    """An image that has a tombstone, damaged or not."""

    image_id: str
    spent: Spent | None


def look(
    storage: base.Storage, image_id: str
) -> image_root.Root | Spent | Damaged | None:
    """What is known of an image: its root, if it counts.

    None: there is nothing, or nothing of use.

    :raises RepositoryError: the storage's
    """
    # Before the root, which is then the one that the marker names.
    marked = images.has_marker(storage, image_id)
    try:
        root = images.read_root(storage, image_id)
    except errors.ImageMissing:
        reason = 'its root is missing'
    except (
        errors.Corrupt,
        errors.ObjectTruncated,
        errors.UnsupportedFormat,
    ) as error:
        reason = str(error)
    else:
        # A deletion writes the tombstone first.
        if marked and not images.is_deleted(storage, image_id):
            return root
        return _spent(root)
    if not marked or images.is_deleted(storage, image_id):
        return None
    return Damaged(
        image_id,
        reason,
        _spent_by_root(storage, image_id),
        _generation_by_marker(storage, image_id),
    )


def deleted(storage: base.Storage) -> Iterator[Deleted]:
    """All tombstones; one that can't be read counts as well.

    :raises RepositoryError: the storage's
    """
    for info in storage.list(layout.TOMBSTONES):
        image_id = layout.parse_tombstone(info.key)
        if image_id is not None:
            yield Deleted(image_id, _spent_by_tombstone(storage, image_id))


def _spent(root: image_root.Root) -> Spent:
    return Spent(root.chain, root.generation, root.chunk_size)


def _spent_by_root(storage: base.Storage, image_id: str) -> Spent | None:
    key = layout.root_key(image_id)
    try:
        data = document.read_bytes(storage, image_root.KIND, key)
        root = image_root.Root.from_bytes(data, key)
    except errors.RepositoryError:
        return None
    return _spent(root) if root.image_id == image_id else None


def _generation_by_marker(storage: base.Storage, image_id: str) -> int | None:
    key = layout.commit_key(image_id)
    try:
        data = document.read_bytes(storage, markers.COMMIT, key)
        return markers.Commit.from_bytes(data, key, image_id).generation
    except errors.RepositoryError:
        return None


def _spent_by_tombstone(storage: base.Storage, image_id: str) -> Spent | None:
    key = layout.tombstone_key(image_id)
    try:
        data = document.read_bytes(storage, markers.TOMBSTONE, key)
        tombstone = markers.Tombstone.from_bytes(data, key, image_id)
    except errors.RepositoryError:
        return None
    if tombstone.chain is None or tombstone.generation is None:
        return None
    return Spent(tombstone.chain, tombstone.generation)
