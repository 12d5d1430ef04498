# SPDX-License-Identifier: Apache-2.0
"""Makes one image: read, store, commit, in the order that keeps promises.

Data packs, page packs and candidate root become durable first, then the
catalog takes the commit if this proxy still holds the job, then the commit
marker says in the repository that the root counts. A stop between any two of
these leaves what another run of the job goes on with, or garbage, never a
wrong image.
"""

import contextlib
import functools
from typing import Any

from oslo_log import log

from ebackup_service.engine import backup as engine
from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import shadow
from ebackup_service.production import base as production
from ebackup_service.proxy import errors
from ebackup_service.proxy import memory
from ebackup_service.proxy import patience
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.proxy import volumes
from ebackup_service.repository import discard as discarding
from ebackup_service.repository import extents
from ebackup_service.repository import inventory
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import repository
from ebackup_service.repository import root as repository_root
from ebackup_service.repository import session as repository_session
from ebackup_service.repository import tree
from ebackup_service.rpc import messages

LOG = log.getLogger(__name__)


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises: RepositoryError, ProductionError, JobStopped, ProxyError; what
        was stored stays, for another run or for discard()
    """
    spec, image = task.spec, task.image
    with repositories.opened(spec.repository) as repo:
        repositories.check_floor(repo, spec.repository)
        session = repo.session(
            spec.id,
            image.generation,
            spec.repository.compression,
            spec.repository.compression_level,
            spec.token,
        )
        with contextlib.closing(session):
            # An earlier run may have been lost on its last steps.
            root = session.candidate(image.id)
            if root is None:
                root = session.commit_candidate(
                    volumes.in_doubt_again(
                        task, lambda: _store(task, repo, session)
                    )
                )
            repositories.check_owner(repo, spec.repository)
            _commit(task, root)
            task.control.check()
            session.mark_committed(image.id)
            # Whoever took the repository over before there was a marker may
            # have removed what the image needs; after that, it sees the image.
            repositories.check_owner(repo, spec.repository)
        volumes.leave(task)
        return {
            'kind': 'incremental' if root.base_image else 'full',
            'generation': image.generation,
            'bytes_read': root.statistics['bytes_read'],
            'bytes_reread': root.statistics.get('bytes_reread', 0),
            'bytes_stored': root.statistics['bytes_stored'],
            'metadata_bytes': session.counters.metadata_bytes,
            'chunks_stored': root.statistics['chunks_stored'],
            'chunks_changed': root.statistics['chunks_changed'],
            **task.notes,
            'usage': repositories.room(repo),
        }


def discard(task: proxy_task.Task) -> None:
    """Remove what all runs of a job have stored that came to no image.

    :raises RepositoryError: some of it may still be there
    """
    spec = task.spec
    with repositories.opened(spec.repository) as repo:
        discarding.discard(
            repo.storage,
            spec.id,
            task.image.id,
            lambda: repositories.check_owner(repo, spec.repository),
        )


def _store(
    task: proxy_task.Task,
    repo: repository.Repository,
    session: repository_session.Session,
) -> repository_root.Root:
    """The volume is closed again before anything is committed."""
    image = task.image
    base, of_snapshot = _base(task, repo)
    begun = _begun(task.spec.begun)
    if task.doubt is not None:
        # What was taken over on the storage's word counts no more.
        begun = None
        _checkpoint(task, engine.Checkpoint(None, 0, {}))
    known = None if base is None else repositories.tree(repo, base)
    with volumes.opened(task, base, of_snapshot) as opened:
        if begun is not None and opened.passing:
            begun = _from_the_start(task, begun)
        size = opened.source.size
        task.progress = job_progress.Progress(size)
        task.share.need(*opened.source.memory)
        workers = memory.workers(task.conf, task.share, opened.source.waits)
        result = engine.run_backup(
            opened.source,
            repo,
            session,
            known,
            image.chunk_size,
            workers,
            task.control,
            task.progress,
            begun,
            functools.partial(_checkpoint, task),
            _stage_size(task, workers),
            task.share,
            None if base is None else extents.Extents(base.damaged),
        )
        if opened.claims is not None:
            session.flush()
            shape = (size, image.chunk_size)
            _check_claims(
                task,
                opened.claims,
                known or tree.Tree(repo, None, *shape),
                tree.Tree(repo, result.tree, *shape),
            )
    return _root(image, size, base, result)


def _check_claims(
    task: proxy_task.Task,
    claims: production.Source,
    base: tree.Tree,
    made: tree.Tree,
) -> None:
    """Report what would have been missed, had the storage been trusted."""
    storage = task.spec.storage and task.spec.storage.name
    try:
        missed = shadow.missed(claims, base, made)
        claims.confirm()
    except volumes.IMPOSSIBLE as error:
        LOG.error(
            'What storage %s says of volume %s could not be compared with '
            'what was found: %s',
            storage,
            task.image.volume_id,
            error,
        )
        volumes.disbelieve(task, error)
        return
    task.notes['missed_bytes'] = missed.bytes
    task.notes['missed_extents'] = missed.to_json()
    if missed:
        LOG.error(
            'Storage %s does not tell all that changes: %s bytes of volume %s '
            'would have been missed, at %s. Leave it in shadow mode.',
            storage,
            missed.bytes,
            task.image.volume_id,
            missed.to_json()[:3],
        )


def _base(
    task: proxy_task.Task, repo: repository.Repository
) -> tuple[messages.TreeSpec | None, bool]:
    """The base, if the repository has it; whether of a snapshot of Cinder's.

    Else the catalog is an old copy, and what the image refers to may be gone.
    Or it was deleted just now, or between two runs, and all is there still:
    then it costs time and space not to use it, and what an earlier run took
    over from it stays.
    """
    base = task.spec.base
    if base is None:
        return None, False
    found = inventory.look(repo.storage, base.image_id)
    if isinstance(found, repository_root.Root):
        return base, found.record.get('snapshot_id') is not None
    LOG.warning(
        'Backup job %s does not build upon image %s, which the repository '
        'does not have: everything is stored again',
        task.spec.id,
        base.image_id,
    )
    return None, False


def _begun(
    checkpoint: messages.Checkpoint | None,
) -> engine.Checkpoint | None:
    if checkpoint is None:
        return None
    tree = None
    if checkpoint.tree is not None:
        tree = location.Locator.from_json(checkpoint.tree)
    return engine.Checkpoint(tree, checkpoint.leaf, checkpoint.total)


def _stage_size(task: proxy_task.Task, workers: int) -> int:
    """Bytes from one checkpoint to the next; a leaf at least.

    Whoever goes on reads also again what each worker may be ahead: all of it
    together is what checkpoint_size bounds.
    """
    leaf = task.image.chunk_size * page.FANOUT
    return max(task.conf.proxy.checkpoint_size - workers * leaf, leaf)


def _from_the_start(
    task: proxy_task.Task, begun: engine.Checkpoint
) -> engine.Checkpoint:
    """Where a run begins if earlier ones may have read another instant."""
    total = begun.total
    vain = total.get('bytes_read', 0) + total.get('bytes_reread', 0)
    start = engine.Checkpoint(None, 0, {'bytes_reread': vain})
    _checkpoint(task, start)
    return start


def _checkpoint(task: proxy_task.Task, reached: engine.Checkpoint) -> None:
    """Tell the server, until it answers.

    Another run would begin at the checkpoint that it knows, so the next stage
    does not count before that.

    :raises: errors.Fenced, the job is another proxy's, or nobody's, by now;
        and what until_answered() raises
    """
    tree = None if reached.tree is None else reached.tree.to_json()
    told = messages.Checkpoint(tree, reached.leaf, reached.total)
    try:
        decision = patience.until_answered(
            task,
            lambda: task.server.checkpoint(
                task.spec.id, task.spec.token, told
            ),
        )
    except errors.ServerFailed as error:
        # What is stored stays for another run, from the last checkpoint on.
        raise errors.Fenced(str(error)) from error
    if not decision.accepted:
        raise errors.Fenced(
            f'The server refused a checkpoint of job {task.spec.id}: '
            f'{decision.reason}'
        )


def _root(
    image: messages.ImageSpec,
    size: int,
    base: messages.TreeSpec | None,
    result: engine.BackupResult,
) -> repository_root.Root:
    return repository_root.Root(
        image_id=image.id,
        chain=repository_root.Chain(image.project_id, image.volume_id),
        generation=image.generation,
        size=size,
        chunk_size=image.chunk_size,
        tree=result.tree,
        base_image=None if base is None else base.image_id,
        record=image.record,
        volume_metadata=image.volume_metadata,
        statistics=result.statistics,
    )


def _commit(task: proxy_task.Task, root: repository_root.Root) -> None:
    commit = messages.Commit(
        tree=None if root.tree is None else root.tree.to_json(),
        size=root.size,
        chunk_size=root.chunk_size,
        statistics=root.statistics,
    )
    # Asked again after a lost answer it is the same commit.
    decision = patience.until_answered(
        task,
        lambda: task.server.commit_image(
            task.spec.id, task.spec.token, commit
        ),
    )
    if not decision.accepted:
        raise errors.Fenced(
            f'The server refused the image of job {task.spec.id}: '
            f'{decision.reason}'
        )
