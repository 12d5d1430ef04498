# SPDX-License-Identifier: Apache-2.0
"""Remove what no image reaches; section "Collection" of the format.

The order of the steps is what makes it safe beside sessions that write and
read: the argument is in the format.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import time

from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack_set
from ebackup_service.repository import survey
from ebackup_service.repository import tombstones
from ebackup_service.repository import tree
from ebackup_service.repository import walk

Check = Callable[[], None]
# A tree: its root page, size of the volume and of its chunks in bytes.
Pin = tuple[location.Locator | None, int, int]

# Seconds that a temporary file outside of packs is left alone.
_STALE = 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Live:
    """What the catalog knows, as of one instant (one transaction).

    :ivar dead: images, of those asked about, that failed or were deleted
    :ivar pins: trees that running jobs need, and the trees of all available
        images that were not asked about
    :ivar sessions: ids of all that are running, or whose image is committed
        in the catalog but may lack its marker
    """

    dead: set[str]
    pins: Sequence[Pin]
    sessions: set[str]


@dataclasses.dataclass(frozen=True, slots=True)
class CollectResult:
    """What a collection removed."""

    packs_removed: int
    bytes_removed: int
    images_removed: int
    temporaries_removed: int = 0
    tombstones_removed: int = 0


def _owned() -> None:
    """Nobody else has, or will take, the repository."""


def collect(
    repo: opened.OpenRepository,
    live: Callable[[list[str]], Live],
    check: Check,
    check_owner: Check = _owned,
) -> CollectResult:
    """Remove dead images, and packs and temporary files that nobody needs.

    :param live: asks the catalog, with the ids of all images that were found
        and have no tombstone
    :param check: called often; raises to stop, which leaves nothing wrong
    :param check_owner: raises if another service has taken the repository
        over: before images are removed, and again before packs are
    :raises ForeignOwner: see check_owner; or another service was noticed
    :raises Corrupt: a root or a page can't be read; no pack is removed then,
        since what it reaches is unknown. Delete the image, or repair it
    :raises RepositoryError: the storage's
    """
    repo.config.require_write()
    repo.config.require_check()
    storage = repo.storage
    began = time.monotonic()

    candidates = pack_set.PackSet()
    for info in storage.list(layout.PACKS):
        check()
        address = layout.parse_pack(info.key)
        if address is not None:
            candidates.add(address)
    found = survey.survey(storage, check)
    # Not with those that have a tombstone: if the catalog thinks that one is
    # available (a service that was fenced may have deleted it), it pins it.
    answer = live(sorted(i.id for i in found.values() if not i.deleted))
    settled = {i.id for i in found.values() if i.marked or i.deleted}
    later = survey.survey(storage, check, settled, set(found) - settled)

    needed = _mark(
        repo, list(_needed(found, later, answer)), answer.pins, check
    )
    check_owner()
    images_removed = 0
    for image in found.values():
        check()
        latest = later.get(image.id, image)
        images_removed += _remove_image(repo, latest, answer)
    # From here on what is dead has a tombstone, also for whoever takes over.
    check_owner()
    packs_removed = bytes_removed = 0
    for info in storage.list(layout.PACKS):
        check()
        address = layout.parse_pack(info.key)
        if (
            address is not None
            and address in candidates
            and address not in needed
            and layout.parse_session(info.key) not in answer.sessions
        ):
            storage.delete(info.key)
            packs_removed += 1
            bytes_removed += info.size
    temporaries = storage.remove_stale(
        layout.PACKS,
        time.monotonic() - began,
        lambda key: layout.parse_session(key) in answer.sessions,
    )
    temporaries += storage.remove_stale(
        '', _STALE, lambda key: key.startswith(layout.PACKS)
    )
    return CollectResult(
        packs_removed=packs_removed,
        bytes_removed=bytes_removed,
        images_removed=images_removed,
        temporaries_removed=temporaries,
        tombstones_removed=tombstones.expire(
            storage, set(found) | set(later), check
        ),
    )


def _needed(
    found: dict[str, survey.Image],
    later: dict[str, survey.Image],
    answer: Live,
) -> Iterator[survey.Summary]:
    """The images whose trees are to be marked.

    :param found: before the catalog answered
    :param later: what is new since then, or had no marker
    :raises Corrupt: the root of one is damaged
    """
    for image in found.values():
        latest = later.get(image.id, image)
        if image.id in answer.dead:
            continue
        if latest.counts:
            yield latest.summary()
        elif (
            latest.deleted
            and not image.deleted
            and image.session_id not in answer.sessions
            and isinstance(image.found, survey.Summary)
        ):
            # It was available when the catalog answered, and whoever began
            # after that may have it as a base.
            yield image.found
    # Not needed if the catalog knows all images; see the format.
    for image in later.values():
        if image.id not in found and image.counts:
            yield image.summary()


def _mark(
    repo: opened.OpenRepository,
    summaries: list[survey.Summary],
    pins: Sequence[Pin],
    check: Check,
) -> pack_set.PackSet:
    """The packs that some images and pins reach."""
    needed = pack_set.PackSet()
    walker = walk.Walker(repo)

    def mark(new: tree.Tree, old: tree.Tree | None) -> None:
        if new.root is not None:
            needed.add(new.root.pack)
        for visited in walker.pages(new, old):
            check()
            needed.update(visited.packs)

    done: set[location.Locator] = set()
    chain = None
    old: tree.Tree | None = None
    for summary in sorted(summaries, key=lambda s: (s.chain, s.generation)):
        if summary.chain != chain:
            chain, old = summary.chain, None
        new = tree.Tree(repo, summary.tree, summary.size, summary.chunk_size)
        mark(new, old)
        old = new
        if summary.tree is not None:
            done.add(summary.tree)
    for where, size, chunk_size in pins:
        if where is not None and where not in done:
            mark(tree.Tree(repo, where, size, chunk_size), None)
            done.add(where)
    return needed


def _remove_image(
    repo: opened.OpenRepository, image: survey.Image, answer: Live
) -> int:
    """Remove an image if it is dead, or never counted; how many it was.

    :raises ForeignOwner: it counts since, by nobody that the catalog knows
    """
    if image.counts:
        if image.id not in answer.dead:
            return 0
        images.delete(repo.storage, image.id)
        return 1
    if image.found is None and not image.deleted:
        # Its session has abandoned it since.
        return 0
    if image.id not in answer.dead and not image.deleted:
        # A root whose session can't be told belongs to any that runs.
        if image.session_id is None:
            running = bool(answer.sessions)
        else:
            running = image.session_id in answer.sessions
        if running:
            return 0
        if images.is_marked(repo.storage, image.id):
            # Its packs were not marked as needed.
            raise errors.ForeignOwner(
                f'Image {image.id} was committed by a session that this '
                'service does not know: another one writes to the '
                'repository. Stop that one; no data was removed'
            )
    if image.deleted:
        # Again: who wrote the tombstone may have been stopped before it was
        # durable, and without it the image would count, if what goes here
        # came back.
        images.delete(repo.storage, image.id)
    else:
        images.remove(repo.storage, image.id)
    return 1
