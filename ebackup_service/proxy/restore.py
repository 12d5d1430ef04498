# SPDX-License-Identifier: Apache-2.0
"""Writes one image to a volume; closed and durable before it is reported."""

import contextlib
from typing import Any

from ebackup_service.engine import progress as job_progress
from ebackup_service.engine import restore as engine
from ebackup_service.proxy import errors
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises: RepositoryError, ProductionError, JobStopped, ProxyError; the
        volume then holds neither what it held nor the image
    """
    spec = task.spec
    if spec.tree is None or spec.target is None:
        raise errors.JobInvalid(f'Job {spec.id} has no tree or no target.')
    storage, attachment = task.production()
    with repositories.opened(spec.repository) as repo:
        tree = repositories.tree(repo, spec.tree)
        is_new = spec.target.is_new
        with contextlib.closing(
            storage.open_target(attachment, spec.target.size, is_new)
        ) as target:
            task.progress = job_progress.Progress(spec.tree.size)
            statistics = engine.run_restore(
                repo,
                tree,
                target,
                is_new,
                task.workers,
                task.control,
                task.progress,
                task.share,
            )
    return dict(statistics)
