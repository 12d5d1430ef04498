# SPDX-License-Identifier: Apache-2.0
"""Finds damage in a repository, and tells the server which images it touches.

What is stored elsewhere, too, is repaired before. Besides the sample that the
job names, what was damaged before is read again: so what is reported is all
that is known to be damaged.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any, TypeVar

from oslo_log import log

from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import verify
from ebackup_service.proxy import errors
from ebackup_service.proxy import live
from ebackup_service.proxy import patience
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import checker
from ebackup_service.repository import damage as repository_damage
from ebackup_service.repository import extents
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import location
from ebackup_service.repository import repair
from ebackup_service.repository import repository
from ebackup_service.repository import sample
from ebackup_service.repository import suspects
from ebackup_service.rpc import damage

LOG = log.getLogger(__name__)

_Answer = TypeVar('_Answer')

# A damaged repository may have more problems than a result should carry.
_MOST_PROBLEMS = 100
_MOST_IMAGES = 1000
# Images in a message; each has up to a thousand ranges.
_BATCH = 20


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises RepositoryError: the repository is not ours, or away; damage is
        told in the result
    """
    with repositories.opened(task.spec.repository) as repo:
        catalog = _Catalog(task)
        known = catalog.known()
        left = left_out.LeftOut(repo.storage)
        chosen = _chosen(task, repo, known)
        data, pages = chosen.sizes(left, task.control.check)
        reading = _Reading(data + pages)
        task.progress = reading
        records = repository_damage.DamagedRecords()
        # What is known to be damaged may be in packs that nobody lists.
        if data or known:
            records = _read(task, repo, chosen, left, reading.progress)
        read = reading.progress.total()['bytes_read']
        repaired = _repair(task, repo, records)
        # Before the check, which tells what could not be listed.
        usage = repo.usage(left, task.control.check)
        report = checker.check(
            repo,
            records,
            task.control.check,
            lambda found: catalog.tell(_all(found, known, left), known),
            catalog.bases,
            catalog.missed,
            left,
            reading.page,
        )
        result = dataclasses.asdict(report)
        result['problems'] = report.problems[:_MOST_PROBLEMS]
        result['damaged_chunks'] = report.damaged_chunks[:_MOST_PROBLEMS]
        result['damaged_images'] = report.damaged_images[:_MOST_IMAGES]
        return {
            **result,
            'repaired_chunks': repaired.records,
            'repaired_packs': repaired.packs,
            'bytes_read': read,
            'usage': dataclasses.asdict(usage),
        }


def _all(
    found: checker.Damage, known: checker.Damage, left: left_out.LeftOut
) -> checker.Damage:
    """What is damaged, with what could not be looked for again.

    Which packs have what was known of an image only its root says.
    """
    return {
        image_id: (
            extents.Extents([*ranges, *known.get(image_id, ())])
            if left.above(layout.root_key(image_id))
            else ranges
        )
        for image_id, ranges in found.items()
    }


def _chosen(
    task: proxy_task.Task,
    repo: repository.Repository,
    known: checker.Damage,
) -> sample.Sample:
    spec = task.spec.sample
    begin, end = (0, 0) if spec is None else (spec.begin, spec.end)
    also = suspects.packs(repo, known, task.control.check)
    return sample.Sample(begin, end, also)


def _read(
    task: proxy_task.Task,
    repo: repository.Repository,
    chosen: sample.Sample,
    left: left_out.LeftOut,
    progress: job_progress.Progress,
) -> repository_damage.DamagedRecords:
    """Read the sample."""
    return verify.run_verify(
        repo,
        chosen.packs(left, task.control.check),
        task.workers,
        task.control,
        progress,
        task.share,
    )


def _repair(
    task: proxy_task.Task,
    repo: repository.Repository,
    records: repository_damage.DamagedRecords,
) -> repair.Repaired:
    """Make what can be whole again of these."""
    spec = task.spec.repository
    repaired = repair.repair(
        repo,
        records,
        task.control.check,
        task.control.throttle,
        lambda: repositories.check_owner(repo, spec),
        functools.partial(live.ask, task),
    )
    if repaired.records or repaired.packs:
        LOG.info(
            '%d damaged chunks and %d lost packs of repository %s were '
            'repaired',
            repaired.records,
            repaired.packs,
            spec.id,
        )
    for problem in repaired.problems:
        LOG.warning('Repository %s can not be repaired: %s', spec.id, problem)
    return repaired


class _Reading:
    """The progress of a check: bytes of chosen data packs, then of pages.

    Not all of a page pack may be needed, so the end may come early; and there
    is more to do when all is read.
    """

    def __init__(self, size: int) -> None:
        self.progress = job_progress.Progress(size)
        self._pages = self.progress.worker()

    def page(self, size: int) -> None:
        self._pages.done = self._pages.bytes_read = size

    def snapshot(self) -> dict[str, Any]:
        found = self.progress.snapshot()
        return {**found, 'percent': min(found['percent'], 99)}


class _Catalog:
    """What the server knows of damage."""

    def __init__(self, task: proxy_task.Task) -> None:
        self._task = task

    def known(self) -> checker.Damage:
        """What was found before, by image."""
        spec = self._task.spec
        known: checker.Damage = {}

        def ask() -> damage.Known:
            return self._task.server.known_damage(
                spec.id, spec.token, max(known, default='')
            )

        while True:
            answer = self._ask(ask)
            self._check(answer.accepted)
            if not answer.images:
                return known
            for image in answer.images:
                known[image.image_id] = extents.Extents(image.extents)

    def bases(self) -> checker.Trees:
        """The trees that backups have as base which run now."""
        spec = self._task.spec
        return self._trees(
            lambda: self._task.server.pinned_bases(spec.id, spec.token)
        )

    def missed(self, image_ids: list[str]) -> checker.Trees:
        """Those of images that are available, and not among these."""
        spec = self._task.spec
        return self._trees(
            lambda: self._task.server.missed_images(
                spec.id, spec.token, image_ids
            )
        )

    def _trees(self, ask: Callable[[], damage.Trees]) -> checker.Trees:
        answer = self._ask(ask)
        self._check(answer.accepted)
        return {
            spec.image_id: (
                None
                if spec.tree is None
                else location.Locator.from_json(spec.tree),
                spec.size,
                spec.chunk_size,
            )
            for spec in answer.trees
        }

    def tell(self, found: checker.Damage, known: checker.Damage) -> None:
        """Report what is new, and what is different from before."""
        spec = self._task.spec
        nothing = extents.Extents()
        images = [
            damage.Image(image_id, ranges.to_json(), before.to_json())
            for image_id, ranges in found.items()
            if ranges != (before := known.get(image_id, nothing))
        ]
        for start in range(0, len(images), _BATCH):
            report = damage.Report(images[start : start + _BATCH])
            decision = self._ask(
                functools.partial(
                    self._task.server.take_damage, spec.id, spec.token, report
                )
            )
            self._check(decision.accepted)

    def _ask(self, ask: Callable[[], _Answer]) -> _Answer:
        return patience.until_answered(self._task, ask)

    def _check(self, accepted: bool) -> None:
        if not accepted:
            raise errors.Fenced(
                f'The server gave check {self._task.spec.id} up.'
            )
