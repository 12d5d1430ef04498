# SPDX-License-Identifier: Apache-2.0
"""Why a repository seems to lack an image that the catalog has."""

from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import root as image_root
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable


def problem(
    storage: base.Storage, image_id: str, left: left_out.LeftOut
) -> str | None:
    """What to tell of an image that was not listed; None: it is there.

    :param left: what could not be listed
    :raises StorageUnavailable: the storage is away
    """
    key = layout.root_key(image_id)
    hidden = left.above(key)
    if hidden is not None:
        return (
            f'Image {image_id} is available by the catalog, but whether the '
            f'repository has its root is unknown: {hidden} can not be read'
        )
    try:
        there = unreadable.attempt(
            storage, image_root.KIND, key, lambda: _counts(storage, image_id)
        )
    except errors.Corrupt as error:
        return f'{error} (image {image_id})'
    if there:
        return None
    return (
        f'Image {image_id} is available by the catalog, but deleted, or gone, '
        'in the repository; the catalog may be an old copy. Delete the image'
    )


def _counts(storage: base.Storage, image_id: str) -> bool:
    return images.has_marker(storage, image_id) and not images.is_deleted(
        storage, image_id
    )
