# SPDX-License-Identifier: Apache-2.0
"""Remove what no image reaches; section "Collection" of the format.

The order of the steps is what makes it safe beside sessions that write and
read: the argument is in the format.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import time
from typing import Any

from ebackup_service.repository import account
from ebackup_service.repository import accounts
from ebackup_service.repository import compaction
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import liveness
from ebackup_service.repository import location
from ebackup_service.repository import marking
from ebackup_service.repository import opened
from ebackup_service.repository import pack_set
from ebackup_service.repository.storage import base
from ebackup_service.repository import survey
from ebackup_service.repository import tombstones

Check = Callable[[], None]

# Seconds that a temporary file outside of packs is left alone.
_STALE = 3600.0


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
    :ivar left_out: what could not be read, and was left, at most 100
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
    left_out: tuple[str, ...] = ()


def _owned() -> None:
    """Nobody else has, or will take, the repository."""


def collect(
    repo: opened.OpenRepository,
    live: Callable[[list[str]], liveness.Live],
    check: Check,
    check_owner: Check = _owned,
    whole: bool = False,
    limits: compaction.Limits | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> CollectResult:
    """Remove dead images, and packs and temporary files that nobody needs.

    It lists all objects, and reads what has changed since the last collection.
    Packs that can't be listed are left, as is what can't be removed.

    :param live: asks the catalog, with the ids of all images that were found
        and have no tombstone
    :param check: called often; raises to stop, which leaves nothing wrong
    :param check_owner: raises if another service has taken the repository
        over: before images are removed, and again before packs are
    :param whole: read all roots and all that differs between images, whatever
        is known from the last collection; and remove old tombstones
    :param limits: of compaction, which goes with ``whole``; None: there is
        none
    :param tell: called with the share that is done, which may become less
    :raises ForeignOwner: see check_owner; or another service was noticed
    :raises CatalogOutdated: an image counts of which the catalog never took a
        commit, and that has failed there
    :raises Corrupt: a root or a page can't be read; no pack is removed then,
        since what it reaches is unknown. Delete the image, or repair it. Or
        images or tombstones can't be listed, of which nobody knows what they
        reach
    :raises RepositoryError: the storage's
    """
    collection = Collection(
        repo, live, check, check_owner, whole, limits, tell
    )
    for step in collection.steps():
        step()
        collection.next()
    return collection.result


class Collection:
    """One collection, as steps that are taken in order; see collect()."""

    def __init__(
        self,
        repo: opened.OpenRepository,
        live: Callable[[list[str]], liveness.Live],
        check: Check,
        check_owner: Check,
        whole: bool,
        limits: compaction.Limits | None = None,
        tell: Callable[[float], None] = lambda share: None,
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
        self._left = left_out.LeftOut(repo.storage)
        self._compaction = (
            compaction.Compaction(repo, limits, check, self._left)
            if whole and limits is not None
            else None
        )
        self._tell = tell
        self._steps_done = 0
        self._began = time.monotonic()
        self._accounts = accounts.Accounts(self._left)
        self._counted: list[account.Account] = []
        # What compaction needs of those before it: the candidates, all trees.
        self._sources: tuple[
            pack_set.PackSet, Sequence[account.Account], Sequence[marking.Pin]
        ] = (pack_set.PackSet(), [], [])
        # Packs that may go: the candidates, then without what is needed.
        self._packs = pack_set.PackSet()
        self._found: dict[str, survey.Image] = {}
        self._later: dict[str, survey.Image] = {}
        self._answer = liveness.Live(set(), [], set())
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

    def next(self) -> None:
        """Count a step as done; all count the same, whatever they take."""
        self._steps_done += 1
        self._advance(0, 1)

    def _advance(self, done: int, total: int) -> None:
        """See survey.Advance; of a step."""
        share = min(done / max(total, 1), 1.0)
        self._tell((self._steps_done + share) / len(self.steps()))

    def _read_accounts(self) -> None:
        self._accounts = accounts.Accounts.load(
            self._storage, self._check, self._left
        )

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
        if not remembered:
            # Where not all can be listed, what isn't found may be there.
            for _ in left_out.whole(self._storage, layout.TOMBSTONES):
                self._check()
        self._found = survey.survey(
            self._storage,
            self._check,
            remembered=remembered,
            advance=self._advance,
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
        entries = liveness.needed(self._found, self._later, self._answer)
        latest = {**self._found, **self._later}
        lost: list[str] = []
        candidates = self._packs.copy() if self._compaction else self._packs
        self._counted = marking.mark(
            self._repo,
            list(entries),
            self._answer.pins,
            self._accounts,
            self._whole,
            self._packs,
            self._check,
            liveness.owners(self._answer, latest),
            lost.append,
            self._compaction.visit if self._compaction else marking.unseen,
            self._advance,
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
        for number, image in enumerate(self._doubtful):
            self._check()
            self._advance(number, len(self._doubtful))
            removed += liveness.remove(self._repo, image, self._answer)
        self._note(images_removed=removed)

    def _write_accounts(self) -> None:
        # While all is there that they speak of: what is counted next time is
        # the difference to it.
        self._accounts.replace(self._storage, self._counted)
        self._counted = []

    def _remove_accounts(self) -> None:
        self._accounts.remove_outdated()

    def _remove_packs(self) -> None:
        # What is dead has a tombstone by now, also for whoever takes over.
        self._check_owner()
        removed = size = 0
        # Packs of which compaction has left something; and those of which
        # there is more than one object, since one was interrupted.
        compacted = pack_set.PackSet()
        several = pack_set.PackSet()
        total = sum(1 for _ in self._packs)
        for info, address in self._listed():
            if address in self._packs:
                if self._left.delete(info.key):
                    removed += 1
                    size += info.size
                self._advance(removed, total)
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
        for address in self._compaction.run(*self._sources, self._advance):
            self._settle(address)
        self._note(
            bytes_compacted=max(
                self.result.bytes_compacted - self._compaction.written, 0
            ),
            compaction_problems=tuple(self._compaction.problems),
        )

    def _settle(self, address: location.PackAddress) -> None:
        self._check()
        try:
            freed = compaction.settle(self._repo, address)
        except errors.Corrupt as error:
            self._left.add(error)
            return
        except errors.ObjectUnreadable as error:
            self._left.note('pack', layout.pack_key(address), error)
            return
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
            for info in self._left.list(prefix):
                self._check()
                address = parse(info.key)
                if address is not None:
                    yield info, address

    def _remove_temporaries(self) -> None:
        def left(path: str, error: errors.ObjectUnreadable) -> None:
            self._left.note('file', path, error)

        removed = self._storage.remove_stale(
            layout.PACKS,
            time.monotonic() - self._began,
            lambda key: layout.parse_session(key) in self._answer.sessions,
            left,
            self._check,
        )
        removed += self._storage.remove_stale(
            *('', _STALE, lambda key: key.startswith(layout.PACKS)),
            left,
            self._check,
        )
        self._note(temporaries_removed=removed)

    def _remove_tombstones(self) -> None:
        if self._whole:
            removed = tombstones.expire(
                self._storage, self._present, self._check, self._left
            )
            self._note(tombstones_removed=removed)
        self._note(left_out=self._left.problems)

    def _note(self, **changes: Any) -> None:
        self.result = dataclasses.replace(self.result, **changes)
