# SPDX-License-Identifier: Apache-2.0
"""Jobs that work on a repository alone."""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
from typing import Any

from oslo_log import log

from ebackup_service.proxy import live
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import collector
from ebackup_service.repository import compaction
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import left_out
from ebackup_service.repository import owner
from ebackup_service.repository import repository
from ebackup_service.repository.storage import base
from ebackup_service.repository.storage import registry

LOG = log.getLogger(__name__)


def create(task: proxy_task.Task) -> dict[str, Any]:
    """Make a repository, or find it made by an earlier try; and claim it."""
    spec = task.spec.repository
    with contextlib.closing(
        registry.open_storage(spec.url, make=True)
    ) as storage:
        try:
            repo = repository.Repository.create(storage, spec.id)
        except repository_errors.ObjectExists as occupied:
            try:
                repo = repository.Repository.open(storage, spec.id)
            except repository_errors.NotARepository:
                raise occupied from None
            except repository_errors.RepositoryMismatch:
                raise another(storage, spec.owner.service_id) from None
        repo.claim(spec.owner.service_id, spec.owner.generation)
        return {'usage': _usage(repo, task.control.check)}


def another(
    storage: base.Storage, service_id: str
) -> repository_errors.RepositoryMismatch:
    """What to tell of a repository that is in the way, and what to do.

    :param service_id: ours
    """
    repo = repository.Repository.open(storage)
    found = owner.read(storage)
    if found is not None and found.service_id == service_id:
        return repository_errors.RepositoryMismatch(
            f'Repository {repo.id} of this very service is there already: use '
            'it by its name, or take another place. If no repository has that '
            'id: ebackup-manage repository takeover NAME URL ID'
        )
    whose = (
        'that nobody owns'
        if found is None
        else f'of service {found.service_id[:36]}'
    )
    return repository_errors.RepositoryMismatch(
        f'Repository {repo.id} {whose} is there already. If that service is '
        'gone: ebackup-manage repository takeover NAME URL ID'
    )


def delete(task: proxy_task.Task) -> dict[str, Any]:
    """Leave a tombstone and drop the root; collection does the rest."""
    with repositories.opened(task.spec.repository) as repo:
        task.control.check()
        repo.delete_image(task.image.id)
        return {'usage': repositories.room(repo)}


class _Compaction:
    """What a collection may compact, and how far it is."""

    def __init__(self, task: proxy_task.Task) -> None:
        self._control = task.control
        self._read = 0
        self._share = 0.0
        percent = task.conf.proxy.compaction_percent
        self.limits = None
        if percent:
            self.limits = compaction.Limits(
                percent / 100, task.conf.proxy.compaction_size, self._pace
            )

    def snapshot(self) -> dict[str, Any]:
        """See task.Progress."""
        return {
            'percent': min(int(100 * self._share), 99),
            'bytes_read': self._read,
        }

    def tell(self, share: float) -> None:
        """What was counted may turn out to have to be counted again."""
        self._share = max(self._share, share)

    def _pace(self, count: int) -> None:
        self._control.throttle(count)
        self._read += count


def collect(task: proxy_task.Task) -> dict[str, Any]:
    """Free what no image, no pin and no session reaches."""
    compacting = _Compaction(task)
    task.progress = compacting

    with repositories.opened(task.spec.repository) as repo:
        result = collector.collect(
            repo,
            functools.partial(live.ask, task),
            task.control.check,
            lambda: repositories.check_owner(repo, task.spec.repository),
            task.spec.whole,
            compacting.limits,
            compacting.tell,
        )
        for problem in result.compaction_problems:
            LOG.warning(
                'A pack of repository %s was not compacted: %s',
                task.spec.repository.id,
                problem,
            )
        if result.accounts_wrong:
            LOG.error(
                'What the last collection of repository %s had counted was '
                'wrong for %d chains; they were counted anew',
                task.spec.repository.id,
                result.accounts_wrong,
            )
        for image_id in result.lost_images:
            LOG.warning('%s', lost(image_id))
        for problem in result.left_out:
            LOG.warning(
                'Repository %s was not collected completely: %s',
                task.spec.repository.id,
                problem,
            )
        return {
            **dataclasses.asdict(result),
            'problems': [
                *(lost(image_id) for image_id in result.lost_images),
                *result.left_out,
            ],
            # What can't be listed has been told.
            'usage': _usage(
                repo, task.control.check, left_out.LeftOut(repo.storage)
            ),
        }


def lost(image_id: str) -> str:
    """What to tell of an image that only the catalog has, and what to do."""
    return (
        f'Image {image_id} is available by the catalog, but deleted, or gone, '
        'in the repository; the catalog may be an old copy. Delete the image: '
        'ebackup-manage image delete'
    )


def _usage(
    repo: repository.Repository,
    check: Callable[[], None],
    left: left_out.LeftOut | None = None,
) -> dict[str, Any]:
    """Everything; lists all of the repository's objects."""
    return dataclasses.asdict(repo.usage(left, check))
