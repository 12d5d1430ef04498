# SPDX-License-Identifier: Apache-2.0
"""Writes one image to a volume; closed and durable before it is reported."""

from collections.abc import Iterator
import contextlib
import functools
from typing import Any

from oslo_log import log

from ebackup_service.engine import lost as restore_lost
from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import restore as engine
from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.proxy import volumes
from ebackup_service.repository import extents
from ebackup_service.repository import repository
from ebackup_service.rpc import damage
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)

# Places that an error names.
_NAMED = 3


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises: RepositoryError, ProductionError, JobStopped, ProxyError; the
        volume then holds neither what it held nor the image
    """
    spec = task.spec
    if spec.tree is None or spec.target is None:
        raise errors.JobInvalid(f'Job {spec.id} has no tree or no target.')
    with repositories.opened(spec.repository) as repo:
        statistics, lost = volumes.in_doubt_again(
            task, functools.partial(_write, task, repo, spec.tree, spec.target)
        )
    if lost.extents:
        _tell(task, lost.extents)
        if not spec.partial:
            raise errors.ImageDamaged(_describe(spec.tree.image_id, lost))
    return {
        **statistics,
        **task.notes,
        'damaged_bytes': lost.extents.bytes,
        'damaged_extents': lost.extents.to_json(),
    }


def _write(
    task: proxy_task.Task,
    repo: repository.Repository,
    image: messages.TreeSpec,
    volume: messages.TargetSpec,
) -> tuple[dict[str, int], restore_lost.Lost]:
    """Statistics, and what could not be read; the volume is closed again."""
    with (
        task.lun() as (storage, lun),
        contextlib.closing(
            lun.open_target(volume.size, volume.is_new)
        ) as target,
        _known(task, repo, storage, lun) as known,
    ):
        task.progress = job_progress.Progress(image.size)
        _count_memory(task, target, volume.is_new, known)
        lost = restore_lost.Lost()
        statistics = engine.run_restore(
            repo,
            repositories.tree(repo, image),
            target,
            volume.is_new,
            task.workers,
            task.control,
            task.progress,
            task.share,
            lost,
            known,
        )
    return statistics, lost


def _count_memory(
    task: proxy_task.Task,
    target: production.Target,
    is_new: bool,
    known: engine.Known | None,
) -> None:
    """Let the job's places take what its storage takes."""
    job, worker = target.memory
    if known is not None:
        job += known.source.memory.job
    if is_new or known is not None:
        worker = 0  # nothing is read
    task.share.need(job, worker)


@contextlib.contextmanager
def _known(
    task: proxy_task.Task,
    repo: repository.Repository,
    storage: production.ProductionStorage,
    lun: production.Lun,
) -> Iterator[engine.Known | None]:
    """What the target is known to hold, if its storage still has an anchor."""
    spec = task.spec
    if (
        spec.target is None
        or spec.target.is_new
        or spec.base is None
        or spec.storage is None
        or spec.storage.trust == volumes.SHADOW
        or not storage.capabilities.changed_extents
    ):
        yield None
        return
    try:
        since = volumes.since(task, lun)
        source = lun.open_source(spec.target.size, None, since)
    except production_errors.DifferenceUnavailable as error:
        LOG.info('Job %s reads all of its volume: %s', spec.id, error)
        task.notes = {
            'changes': volumes.COMPARED,
            'changes_reason': str(error),
        }
        yield None
        return
    task.notes = {'changes': volumes.NAMED}
    with contextlib.closing(source):
        yield engine.Known(repositories.tree(repo, spec.base), source)


def _tell(task: proxy_task.Task, lost: extents.Extents) -> None:
    """The image is to show it, and the next backup to know it."""
    spec = task.spec
    assert spec.tree is not None
    report = damage.Report([damage.Image(spec.tree.image_id, lost.to_json())])
    decision = patience.until_answered(
        task,
        functools.partial(
            task.server.take_damage, spec.id, spec.token, report
        ),
    )
    if not decision.accepted:
        raise errors.Fenced(f'The server gave restore {spec.id} up.')


def _describe(image_id: str, lost: restore_lost.Lost) -> str:
    """The first places; no more than Cinder keeps of a message."""
    places = [f'{length} at {offset}' for offset, length in lost.extents]
    more = len(places) - _NAMED
    named = ', '.join(places[:_NAMED])
    if more > 0:
        named += f', and in {more} more places'
    return (
        f'{lost.extents.bytes} bytes of image {image_id} are damaged: '
        f'{named}. To restore the rest: openstack ebackup image set '
        '--restore-damaged'
    )
