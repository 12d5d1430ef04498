# SPDX-License-Identifier: Apache-2.0
"""Removes what a session leaves that has ended without an image."""

from collections.abc import Callable

from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository.storage import base


def _owned() -> None:
    """Nobody else has, or will take, the repository."""


def discard(
    storage: base.Storage,
    session_id: str,
    image_id: str,
    check_owner: Callable[[], None] = _owned,
) -> None:
    """Remove packs and root of all runs of a session. Idempotent.

    Only when the catalog has ended the session's job for good: a run that
    could go on, or commit, would miss what goes here. Collection would do the
    same; but somebody may wait for the space. An image with a marker stays,
    whatever the catalog says: that is for a deletion, with its tombstone.

    :param image_id: of the image that was not made
    :param check_owner: raises if another service has taken the repository
        over, before packs are removed
    :raises Corrupt: its root or its marker is damaged
    :raises RepositoryError: the storage's
    """
    try:
        root = images.read_root(storage, image_id)
    except errors.ImageMissing:
        pass
    else:
        if images.has_marker(storage, image_id):
            return
        if root.session_id == session_id:
            # With a tombstone: a run that was given up, and is asleep, may
            # have read the root and be just about to write its marker.
            images.delete(storage, image_id)
    # Had another service found a late marker before there was a tombstone, it
    # would have the image.
    check_owner()
    prefix = layout.session_prefix(session_id)
    for info in [*storage.list(prefix)]:
        if layout.parse_pack(info.key) is not None:
            storage.delete(info.key)
