# SPDX-License-Identifier: Apache-2.0
"""Makes our service the owner of a repository, whoever was."""

import contextlib
import dataclasses
from typing import Any

from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import repository
from ebackup_service.repository.storage import registry


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises RepositoryError: it is not the one that was named, or needs a
        newer version; it belongs to whom it did then
    """
    spec = task.spec.repository
    with contextlib.closing(registry.open_storage(spec.url)) as storage:
        repo = repository.Repository.open(storage, spec.id)
        task.control.check()
        previous, mine = repo.take_over(
            spec.owner.service_id, spec.owner.generation
        )
        return {
            'owner_generation': mine.generation,
            'previous_owner': (
                None if previous is None else dataclasses.asdict(previous)
            ),
            'usage': repositories.room(repo),
        }
