# SPDX-License-Identifier: Apache-2.0
"""The images that a repository holds, as collection sees them."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
import dataclasses
from typing import NamedTuple

from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import location
from ebackup_service.repository import markers
from ebackup_service.repository import root as image_root
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable


# Told how many of how many things are done.
Advance = Callable[[int, int], None]


def unwatched(done: int, total: int) -> None:
    """Nobody wants to know how far it is."""


# Project, volume, size of a chunk.
_Chain = tuple[str, str, int]
_Chains = dict[_Chain, _Chain]


class Summary(NamedTuple):
    """What of a root is kept in memory."""

    chain: _Chain
    generation: int
    tree: location.Locator | None
    size: int
    chunk_size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image that has a root or a marker.

    :ivar marked: whether it has a marker, valid or damaged
    :ivar deleted: whether it has a tombstone
    :ivar session_id: that wrote it, None if that can't be told
    """

    id: str
    marked: bool
    deleted: bool
    session_id: str | None
    found: Summary | errors.Corrupt | None

    @property
    def counts(self) -> bool:
        """Whether it has all that it takes, damaged or not."""
        return self.marked and not self.deleted and self.found is not None

    def summary(self) -> Summary:
        """Of an image that counts.

        :raises Corrupt: its root or marker is damaged
        """
        if isinstance(self.found, errors.Corrupt):
            raise self.found
        assert self.found is not None
        return self.found


_NONE: Mapping[str, Image] = {}
# What there is of an image.
_PARTS = {layout.ROOT: 1, layout.COMMIT: 2}
_WHOLE = 3


def survey(
    storage: base.Storage,
    check: Callable[[], None],
    known: AbstractSet[str] = frozenset(),
    again: AbstractSet[str] = frozenset(),
    remembered: Mapping[str, Image] = _NONE,
    left: left_out.LeftOut | None = None,
    advance: Advance = unwatched,
) -> dict[str, Image]:
    """All images but those that are known, with their roots read.

    Memory: some 700 bytes an image.

    :param check: called for each object that is listed, and each image
    :param again: images to look at even if nothing is left of them
    :param remembered: images that counted once: a root is never changed, so
        that of one that has a marker and no tombstone isn't read again
    :param advance: counts images
    :param left: is told of what can't be listed, and of tombstones of which
        it can't be said whether they are there: these aren't, then. None:
        that is raised
    :raises Corrupt: see left
    """

    def listed(prefix: str) -> Iterator[base.ObjectInfo]:
        if left is None:
            return left_out.whole(storage, prefix)
        return left.list(prefix)

    deleted = set()
    if remembered:
        # Before the images: one that is deleted meanwhile counts still.
        for info in listed(layout.TOMBSTONES):
            check()
            deleted.add(layout.parse_tombstone(info.key))
    names = dict.fromkeys(again, 0)
    for info in listed(layout.IMAGES):
        check()
        parsed = layout.parse_image(info.key)
        if parsed is not None and parsed[0] not in known:
            names[parsed[0]] = names.get(parsed[0], 0) | _PARTS[parsed[1]]
    found: dict[str, Image] = {}
    chains: _Chains = {}
    for image_id, present in names.items():
        check()
        advance(len(found), len(names))
        image = remembered.get(image_id)
        if image is None or image_id in deleted or present != _WHOLE:
            marked = bool(present & _PARTS[layout.COMMIT])
            image = _look(storage, image_id, marked, chains, left)
        found[image_id] = image
    return found


def _look(
    storage: base.Storage,
    image_id: str,
    marked: bool,
    chains: _Chains,
    left: left_out.LeftOut | None,
) -> Image:
    deleted = _is_deleted(storage, image_id, left)
    session_id = None
    found: Summary | errors.Corrupt | None = None
    if not deleted:
        try:
            root = images.read_root(storage, image_id)
            session_id = root.session_id
            found = _summary(root, chains)
        except errors.ImageMissing:
            # A deletion writes the tombstone before it takes the root.
            deleted = _is_deleted(storage, image_id, left)
            if marked and not deleted:
                found = errors.Corrupt(
                    image_root.KIND, layout.root_key(image_id), 'it is missing'
                )
        except errors.Corrupt as error:
            found = error
    return Image(image_id, marked, deleted, session_id, found)


def _is_deleted(
    storage: base.Storage, image_id: str, left: left_out.LeftOut | None
) -> bool:
    try:
        return unreadable.attempt(
            storage,
            markers.TOMBSTONE,
            layout.tombstone_key(image_id),
            lambda: images.is_deleted(storage, image_id),
        )
    except errors.Corrupt as error:
        if left is None:
            raise
        left.add(error)
        return False


def _summary(root: image_root.Root, chains: _Chains) -> Summary:
    chain = root.chain.project_id, root.chain.volume_id, root.chunk_size
    return Summary(
        # The same for all of them: it takes as much as all the rest.
        chains.setdefault(chain, chain),
        root.generation,
        root.tree,
        root.size,
        root.chunk_size,
    )
