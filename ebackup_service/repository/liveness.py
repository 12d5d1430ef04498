# SPDX-License-Identifier: Apache-2.0
"""Which images are needed, and which go, by what the catalog says of them.

Why it is safe to decide like this is in the format, section "Collection".
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
import dataclasses

from ebackup_service.repository import account
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import marking
from ebackup_service.repository import opened
from ebackup_service.repository import survey


@dataclasses.dataclass(frozen=True, slots=True)
class Live:
    """What the catalog knows, as of one instant (one transaction).

    :ivar dead: images, of those asked about, that failed or were deleted
    :ivar pins: trees that running jobs need, and the trees of all available
        images that were not asked about
    :ivar sessions: ids of all that are running, or whose image is committed
        in the catalog but may lack its marker
    :ivar pinned: by the ids of their images, the pins of which these are known
    :ivar missed: those of these images that no job needs
    :ivar uncommitted: those of the dead that failed before the catalog took a
        commit: none of these gets a marker
    """

    dead: set[str]
    pins: Sequence[marking.Pin]
    sessions: set[str]
    pinned: Mapping[str, marking.Pin] = dataclasses.field(default_factory=dict)
    missed: AbstractSet[str] = frozenset()
    uncommitted: AbstractSet[str] = frozenset()


def needed(
    found: dict[str, survey.Image],
    later: dict[str, survey.Image],
    answer: Live,
) -> Iterator[account.Entry]:
    """The images whose trees are needed.

    :param found: before the catalog answered
    :param later: what is new since then, or had no marker
    :raises Corrupt: the root of one is damaged
    :raises CatalogOutdated: one counts, and has failed uncommitted
    """
    for image in found.values():
        latest = later.get(image.id, image)
        if image.id in answer.dead:
            if latest.counts and image.id in answer.uncommitted:
                raise _outdated(image.id)
            continue
        if latest.counts:
            yield _entry(latest, latest.summary())
        elif (
            latest.deleted
            and not image.deleted
            and image.session_id not in answer.sessions
            and isinstance(image.found, survey.Summary)
        ):
            # It was available when the catalog answered, and whoever began
            # after that may have it as a base.
            yield _entry(image, image.found)
    # Not needed if the catalog knows all images; see the format.
    for image in later.values():
        if image.id not in found and image.counts:
            yield _entry(image, image.summary())


def owners(
    answer: Live, latest: Mapping[str, survey.Image]
) -> dict[marking.Pin, marking.Owner]:
    """Whose pins they are: of an image that is there, if there is one."""
    owners: dict[marking.Pin, marking.Owner] = {}
    for image_id, pin in answer.pinned.items():
        image = latest.get(image_id)
        gone = image_id in answer.missed and (image is None or image.deleted)
        if pin not in owners or not gone:
            owners[pin] = marking.Owner(image_id, gone)
    return owners


def _outdated(image_id: str) -> errors.CatalogOutdated:
    return errors.CatalogOutdated(
        f'Image {image_id} was committed, which the catalog does not know: it '
        'has lost what it knew. Nothing of it was removed. Stop the servers '
        'and follow "After a disaster": ebackup-manage repository takeover, '
        'then rebuild-catalog'
    )


def _entry(image: survey.Image, summary: survey.Summary) -> account.Entry:
    return account.Entry(image.id, image.session_id, summary)


def remove(
    repo: opened.OpenRepository, image: survey.Image, answer: Live
) -> int:
    """Remove an image that is dead, or never counted; how many it was.

    :raises ForeignOwner: it counts since, by nobody that the catalog knows
    :raises CatalogOutdated: it counts since, and has failed uncommitted
    """
    if image.counts:
        # The catalog calls it dead.
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
    if image.id in answer.uncommitted and images.is_marked(
        repo.storage, image.id
    ):
        raise _outdated(image.id)
    if image.deleted:
        # Again: who wrote the tombstone may have been stopped before it was
        # durable, and without it the image would count, if what goes here
        # came back.
        images.delete(repo.storage, image.id)
    else:
        images.remove(repo.storage, image.id)
    return 1
