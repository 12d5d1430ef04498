# SPDX-License-Identifier: Apache-2.0
"""Remove what no image reaches; section "Collection" of the format.

The order of the steps is what makes it safe beside sessions that write and
read: the argument is in the format.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
import dataclasses
import time
from typing import Any

from ebackup_service.repository import account
from ebackup_service.repository import accounts
from ebackup_service.repository import compaction
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import marking
from ebackup_service.repository import opened
from ebackup_service.repository import pack_set
from ebackup_service.repository.storage import base
from ebackup_service.repository import survey
from ebackup_service.repository import tombstones

Check = Callable[[], None]
Pin = marking.Pin

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
    :ivar pinned: by the ids of their images, the pins of which these are known
    :ivar missed: those of these images that no job needs
    """

    dead: set[str]
    pins: Sequence[Pin]
    sessions: set[str]
    pinned: Mapping[str, Pin] = dataclasses.field(default_factory=dict)
    missed: AbstractSet[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class CollectResult:
    """What a collection removed.

    :ivar accounts_wrong: chains whose account wasn't what it should be, and
        that were counted anew
    :ivar lost_images: ids of those that the catalog takes for available, and
        of which neither root nor marker is there, nor all of the pages
    :ivar packs_compacted: of which only what is needed was kept
    :ivar bytes_compacted: that this has freed
    :ivar compaction_problems: what was left as it is, and why
    """

    packs_removed: int
    bytes_removed: int
    images_removed: int
    temporaries_removed: int = 0
    tombstones_removed: int = 0
    accounts_wrong: int = 0
    lost_images: tuple[str, ...] = ()
    packs_compacted: int = 0
    bytes_compacted: int = 0
    compaction_problems: tuple[str, ...] = ()


def _owned() -> None:
    """Nobody else has, or will take, the repository."""


def collect(
    repo: opened.OpenRepository,
    live: Callable[[list[str]], Live],
    check: Check,
    check_owner: Check = _owned,
    whole: bool = False,
    limits: compaction.Limits | None = None,
) -> CollectResult:
    """Remove dead images, and packs and temporary files that nobody needs.

    It lists all objects, and reads what has changed since the last collection.

    :param live: asks the catalog, with the ids of all images that were found
        and have no tombstone
    :param check: called often; raises to stop, which leaves nothing wrong
    :param check_owner: raises if another service has taken the repository
        over: before images are removed, and again before packs are
    :param whole: read all roots and all that differs between images, whatever
        is known from the last collection; and remove old tombstones
    :param limits: of compaction, which goes with ``whole``; None: there is
        none
    :raises ForeignOwner: see check_owner; or another service was noticed
    :raises Corrupt: a root or a page can't be read; no pack is removed then,
        since what it reaches is unknown. Delete the image, or repair it
    :raises RepositoryError: the storage's
    """
    collection = Collection(repo, live, check, check_owner, whole, limits)
    for step in collection.steps():
        step()
    return collection.result


class Collection:
    """One collection, as steps that are taken in order; see collect()."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        live: Callable[[list[str]], Live],
        check: Check,
        check_owner: Check,
        whole: bool,
        limits: compaction.Limits | None = None,
    ) -> None:
        repo.config.require_write()
        repo.config.require_check()
        self.result = CollectResult(0, 0, 0)
        self._repo = repo
        self._storage = repo.storage
        self._live = live
        self._check = check
        self._check_owner = check_owner
        self._whole = whole
        self._compaction = (
            compaction.Compaction(repo, limits, check)
            if whole and limits is not None
            else None
        )
        self._began = time.monotonic()
        self._accounts = accounts.Accounts()
        self._counted: list[account.Account] = []
        # What compaction needs of those before it: the candidates, all trees.
        self._sources: tuple[
            pack_set.PackSet, Sequence[account.Account], Sequence[Pin]
        ] = (pack_set.PackSet(), [], [])
        # Packs that may go: the candidates, then without what is needed.
        self._packs = pack_set.PackSet()
        self._found: dict[str, survey.Image] = {}
        self._later: dict[str, survey.Image] = {}
        self._answer = Live(set(), [], set())
        # Images that don't count, or are dead; and all that there are.
        self._doubtful: list[survey.Image] = []
        self._present: set[str] = set()

    def steps(self) -> Sequence[Callable[[], None]]:
        """Each relies on those before it, and on nothing else."""
        return (
            self._read_accounts,
            self._list_candidates,
            self._look,
            self._ask,
            self._look_again,
            self._mark,
            self._remove_images,
            self._write_accounts,
            self._remove_packs,
            self._compact,
            self._remove_accounts,
            self._remove_temporaries,
            self._remove_tombstones,
        )

    def _read_accounts(self) -> None:
        self._accounts = accounts.Accounts.load(self._storage, self._check)

    def _list_candidates(self) -> None:
        for _, address in self._listed():
            self._packs.add(address)

    def _look(self) -> None:
        remembered = {
            entry.image_id: survey.Image(
                entry.image_id, True, False, entry.session_id, entry.summary
            )
            for known in self._accounts.newest.values()
            for entry in known.entries
            if entry.image_id is not None and not self._whole
        }
        self._found = survey.survey(
            self._storage, self._check, remembered=remembered
        )

    def _ask(self) -> None:
        # Not with those that have a tombstone: if the catalog thinks that one
        # is available (a service that was fenced may have deleted it), it
        # pins it.
        self._answer = self._live(
            sorted(i.id for i in self._found.values() if not i.deleted)
        )
        self._packs.discard_sessions(
            map(layout.session_bytes, self._answer.sessions)
        )

    def _look_again(self) -> None:
        settled = {i.id for i in self._found.values() if i.marked or i.deleted}
        self._later = survey.survey(
            self._storage, self._check, settled, set(self._found) - settled
        )

    def _mark(self) -> None:
        entries = _needed(self._found, self._later, self._answer)
        latest = {**self._found, **self._later}
        lost: list[str] = []
        candidates = self._packs.copy()
        self._counted = marking.mark(
            self._repo,
            list(entries),
            self._answer.pins,
            self._accounts,
            self._whole,
            self._packs,
            self._check,
            _owners(self._answer, latest),
            lost.append,
            self._compaction.visit if self._compaction else marking.unseen,
        )
        self._note(
            accounts_wrong=self._accounts.wrong, lost_images=tuple(lost)
        )
        if self._compaction is not None:
            newest = {
                **self._accounts.newest,
                **{counted.chain: counted for counted in self._counted},
            }
            self._sources = candidates, [*newest.values()], self._answer.pins
        # All that the steps below need to know.
        self._present = set(latest)
        self._doubtful = [
            latest[image_id]
            for image_id in self._found
            if not latest[image_id].counts or image_id in self._answer.dead
        ]
        self._found = self._later = {}
        self._answer = dataclasses.replace(self._answer, pins=[], pinned={})

    def _remove_images(self) -> None:
        self._check_owner()
        removed = 0
        for image in self._doubtful:
            self._check()
            removed += _remove_image(self._repo, image, self._answer)
        self._note(images_removed=removed)

    def _write_accounts(self) -> None:
        # While all is there that they speak of: what is counted next time is
        # the difference to it.
        self._accounts.replace(self._storage, self._counted)
        self._counted = []

    def _remove_accounts(self) -> None:
        self._accounts.remove_outdated(self._storage)

    def _remove_packs(self) -> None:
        # What is dead has a tombstone by now, also for whoever takes over.
        self._check_owner()
        removed = size = 0
        # Packs of which compaction has left something; and those of which
        # there is more than one object, since one was interrupted.
        compacted = pack_set.PackSet()
        several = pack_set.PackSet()
        for info, address in self._listed():
            if address in self._packs:
                self._storage.delete(info.key)
                removed += 1
                size += info.size
            elif address in compacted:
                several.add(address)
            elif not info.key.startswith(layout.PACKS):
                compacted.add(address)
        self._note(packs_removed=removed, bytes_removed=size)
        for address in several:
            self._settle(address)

    def _compact(self) -> None:
        if self._compaction is None:
            return
        # What is left out is as good as deleted.
        self._check_owner()
        for address in self._compaction.run(*self._sources):
            self._settle(address)
        self._note(
            bytes_compacted=max(
                self.result.bytes_compacted - self._compaction.written, 0
            ),
            compaction_problems=tuple(self._compaction.problems),
        )

    def _settle(self, address: location.PackAddress) -> None:
        self._check()
        freed = compaction.settle(self._repo, address)
        self._note(
            packs_compacted=self.result.packs_compacted + bool(freed),
            bytes_compacted=self.result.bytes_compacted + freed,
        )

    def _listed(
        self,
    ) -> Iterator[tuple[base.ObjectInfo, location.PackAddress]]:
        """What compaction has left of packs, then packs."""
        for prefix, parse in (
            (layout.COMPACTED, layout.parse_compacted),
            (layout.PACKS, layout.parse_pack),
        ):
            for info in self._storage.list(prefix):
                self._check()
                address = parse(info.key)
                if address is not None:
                    yield info, address

    def _remove_temporaries(self) -> None:
        removed = self._storage.remove_stale(
            layout.PACKS,
            time.monotonic() - self._began,
            lambda key: layout.parse_session(key) in self._answer.sessions,
        )
        removed += self._storage.remove_stale(
            '', _STALE, lambda key: key.startswith(layout.PACKS)
        )
        self._note(temporaries_removed=removed)

    def _remove_tombstones(self) -> None:
        if not self._whole:
            return
        removed = tombstones.expire(self._storage, self._present, self._check)
        self._note(tombstones_removed=removed)

    def _note(self, **changes: Any) -> None:
        self.result = dataclasses.replace(self.result, **changes)


def _needed(
    found: dict[str, survey.Image],
    later: dict[str, survey.Image],
    answer: Live,
) -> Iterator[account.Entry]:
    """The images whose trees are needed.

    :param found: before the catalog answered
    :param later: what is new since then, or had no marker
    :raises Corrupt: the root of one is damaged
    """
    for image in found.values():
        latest = later.get(image.id, image)
        if image.id in answer.dead:
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


def _owners(
    answer: Live, latest: Mapping[str, survey.Image]
) -> dict[Pin, marking.Owner]:
    """Whose pins they are: of an image that is there, if there is one."""
    owners: dict[Pin, marking.Owner] = {}
    for image_id, pin in answer.pinned.items():
        image = latest.get(image_id)
        gone = image_id in answer.missed and (image is None or image.deleted)
        if pin not in owners or not gone:
            owners[pin] = marking.Owner(image_id, gone)
    return owners


def _entry(image: survey.Image, summary: survey.Summary) -> account.Entry:
    return account.Entry(image.id, image.session_id, summary)


def _remove_image(
    repo: opened.OpenRepository, image: survey.Image, answer: Live
) -> int:
    """Remove an image that is dead, or never counted; how many it was.

    :raises ForeignOwner: it counts since, by nobody that the catalog knows
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
    if image.deleted:
        # Again: who wrote the tombstone may have been stopped before it was
        # durable, and without it the image would count, if what goes here
        # came back.
        images.delete(repo.storage, image.id)
    else:
        images.remove(repo.storage, image.id)
    return 1
