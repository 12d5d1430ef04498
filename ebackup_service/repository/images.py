# SPDX-License-Identifier: Apache-2.0
"""Images of a repository: which there are, which count, what deletes them.

Sections "Invariants" and "Deletion" of the format.
"""

from collections.abc import Iterator

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.repository import root as image_root
from ebackup_service.repository.storage import base


def listing(storage: base.Storage) -> Iterator[str]:
    """Ids of all images that have a root or a marker, each once.

    Memory grows by some 100 bytes an image.
    """
    seen: set[str] = set()
    for info in storage.list(layout.IMAGES):
        parsed = layout.parse_image(info.key)
        if parsed is not None and parsed[0] not in seen:
            seen.add(parsed[0])
            yield parsed[0]


def read_root(storage: base.Storage, image_id: str) -> image_root.Root:
    """The root of an image, whether it counts or not.

    If there is a marker, the root is the one that it names.

    :raises ImageMissing: there is no root
    :raises Corrupt: the root, or its marker, is damaged
    """
    return _read_root(storage, image_id)[1]


def is_deleted(storage: base.Storage, image_id: str) -> bool:
    """Whether an image has a tombstone; a damaged one counts."""
    try:
        storage.size(layout.tombstone_key(image_id))
    except errors.ObjectMissing:
        return False
    return True


def is_marked(storage: base.Storage, image_id: str) -> bool:
    """Whether an image has a valid marker and no tombstone.

    :raises Corrupt: the marker is damaged
    """
    return not is_deleted(storage, image_id) and (
        _read_marker(storage, image_id) is not None
    )


def has_marker(storage: base.Storage, image_id: str) -> bool:
    """Whether there is a marker: damaged or not, deleted or not."""
    try:
        storage.size(layout.commit_key(image_id))
    except errors.ObjectMissing:
        return False
    return True


def mark(
    storage: base.Storage, image_id: str, root_digest: str | None = None
) -> None:
    """Write the commit marker of an image. Idempotent.

    :param root_digest: of the root that was committed; None: of the one that
        is there
    :raises ImageMissing: there is no root
    :raises ImageDeleted: it has a tombstone
    :raises Corrupt: the root is damaged, or another one than was committed
    """
    data, root = _read_root(storage, image_id)
    if root_digest is None:
        root_digest = document.digest(data)
    elif root_digest != document.digest(data):
        raise _not_committed(image_id)
    if is_deleted(storage, image_id):
        raise errors.ImageDeleted(
            f'Image {image_id} was deleted; it can not be committed any more'
        )
    marker = markers.Commit(image_id, root_digest, root.generation)
    try:
        storage.create(layout.commit_key(image_id), [marker.to_bytes()])
    except errors.ObjectExists:
        # read_root has found that it names this root, or it came since.
        read_root(storage, image_id)


def delete(storage: base.Storage, image_id: str) -> None:
    """Delete an image for ever, known or not. Idempotent."""
    bury(storage, image_id)
    remove(storage, image_id)


def bury(storage: base.Storage, image_id: str) -> None:
    """Write an image's tombstone, again if there is one: then it is durable.

    Who wrote it may have been stopped before it was.
    """
    tombstone = _tombstone(storage, image_id)
    try:
        storage.create(layout.tombstone_key(image_id), [tombstone.to_bytes()])
    except errors.ObjectExists:
        pass


def remove(storage: base.Storage, image_id: str) -> None:
    """Remove marker and root; of an image that never counted, or is dead."""
    storage.delete(layout.commit_key(image_id))
    storage.delete(layout.root_key(image_id))


def _tombstone(storage: base.Storage, image_id: str) -> markers.Tombstone:
    """Says which generation is gone, while there is a root to tell it.

    What can't be read can be deleted all the same.
    """
    try:
        root = read_root(storage, image_id)
    except errors.RepositoryError:
        return markers.Tombstone(image_id)
    return markers.Tombstone(
        image_id, chain=root.chain, generation=root.generation
    )


def _read_root(
    storage: base.Storage, image_id: str
) -> tuple[bytes, image_root.Root]:
    key = layout.root_key(image_id)
    try:
        data = document.read_bytes(storage, image_root.KIND, key)
    except errors.ObjectMissing as error:
        raise errors.ImageMissing(
            f'The repository has no image {image_id}'
        ) from error
    root = image_root.Root.from_bytes(data, key)
    if root.image_id != image_id:
        raise errors.Corrupt(
            image_root.KIND, key, f'it is of image {root.image_id}'
        )
    marker = _read_marker(storage, image_id)
    if marker is not None and marker.root != document.digest(data):
        raise _not_committed(image_id)
    return data, root


def _not_committed(image_id: str) -> errors.Corrupt:
    return errors.Corrupt(
        image_root.KIND,
        layout.root_key(image_id),
        'it is not the one that was committed',
    )


def _read_marker(
    storage: base.Storage, image_id: str
) -> markers.Commit | None:
    key = layout.commit_key(image_id)
    try:
        data = document.read_bytes(storage, markers.COMMIT, key)
    except errors.ObjectMissing:
        return None
    return markers.Commit.from_bytes(data, key, image_id)
