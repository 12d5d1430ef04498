# SPDX-License-Identifier: Apache-2.0
"""Makes one image: read, store, commit, in the order that keeps promises.

Data packs, page packs and candidate root become durable first, then the
catalog takes the commit if this proxy still holds the job, then the commit
marker says in the repository that the root counts. A stop between any two of
these leaves garbage, never a wrong image.
"""

import contextlib
from typing import Any

from ebackup_service.engine import backup as engine
from ebackup_service.engine import progress as job_progress
from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import repository
from ebackup_service.repository import root as repository_root
from ebackup_service.repository import session as repository_session
from ebackup_service.rpc import messages


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises: RepositoryError, ProductionError, JobStopped, ProxyError; what
        was stored is then removed as far as possible
    """
    spec, image = task.spec, task.image
    with repositories.opened(spec.repository) as repo:
        repositories.check_floor(repo, spec.repository)
        session = repo.session(
            spec.id,
            image.generation,
            spec.repository.compression,
            spec.repository.compression_level,
        )
        try:
            result = _store(task, repo, session)
            root = _root(image, spec.base, result)
            session.commit_candidate(root)
            repositories.check_owner(repo, spec.repository)
            _commit(task, root)
            task.control.check()
            session.mark_committed(image.id)
        except BaseException:
            session.abandon()
            raise
        return {
            'kind': 'incremental' if spec.base else 'full',
            'generation': image.generation,
            'bytes_read': result.statistics['bytes_read'],
            'bytes_stored': session.counters.stored_bytes,
            'metadata_bytes': session.counters.metadata_bytes,
            'chunks_stored': result.statistics['chunks_stored'],
            'chunks_changed': result.statistics['chunks_changed'],
            'usage': repositories.room(repo),
        }


def _store(
    task: proxy_task.Task,
    repo: repository.Repository,
    session: repository_session.Session,
) -> engine.BackupResult:
    """The volume is closed again before anything is committed."""
    image, base = task.image, task.spec.base
    storage, attachment = task.production()
    with contextlib.closing(
        storage.open_source(attachment, image.size)
    ) as source:
        task.progress = job_progress.Progress(image.size)
        return engine.run_backup(
            source,
            repo,
            session,
            None if base is None else repositories.tree(repo, base),
            image.chunk_size,
            task.workers,
            task.control,
            task.progress,
        )


def _root(
    image: messages.ImageSpec,
    base: messages.TreeSpec | None,
    result: engine.BackupResult,
) -> repository_root.Root:
    return repository_root.Root(
        image_id=image.id,
        chain=repository_root.Chain(image.project_id, image.volume_id),
        generation=image.generation,
        size=image.size,
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
        lambda: task.server.commit_image(
            task.spec.id, task.spec.token, commit
        ),
        task.control.check,
    )
    if not decision.accepted:
        raise errors.Fenced(
            f'The server refused the image of job {task.spec.id}: '
            f'{decision.reason}'
        )
