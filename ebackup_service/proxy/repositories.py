# SPDX-License-Identifier: Apache-2.0
"""Opens the repository of a job, and looks at the room in it."""

from collections.abc import Iterator
import contextlib
from typing import Any

from ebackup_service.proxy import errors
from ebackup_service.repository import location
from ebackup_service.repository import repository
from ebackup_service.repository.storage import registry
from ebackup_service.repository import tree as repository_tree
from ebackup_service.rpc import messages


@contextlib.contextmanager
def opened(spec: messages.RepositorySpec) -> Iterator[repository.Repository]:
    """The repository, if it is the right one and belongs to our service.

    :raises RepositoryError: it isn't, or can't be reached
    """
    with contextlib.closing(registry.open_storage(spec.url)) as storage:
        repo = repository.Repository.open(storage, spec.id)
        check_owner(repo, spec)
        yield repo


def check_owner(
    repo: repository.Repository, spec: messages.RepositorySpec
) -> None:
    """:raises ForeignOwner: another service has taken the repository over"""
    repo.check_owner(spec.owner.service_id, spec.owner.generation)


def check_floor(
    repo: repository.Repository, spec: messages.RepositorySpec
) -> None:
    """:raises errors.RepositoryFull: less is free than must be for backups"""
    usage = repo.storage.usage()
    if usage is not None and usage.free < spec.minimum_free:
        raise errors.RepositoryFull(
            f'Repository {spec.name} has {usage.free} bytes free, less than '
            f'the {spec.minimum_free} that [repository]minimum_free demands: '
            'delete images or add space.'
        )


def room(repo: repository.Repository) -> dict[str, Any]:
    """Bytes total and free; cheap, unlike the repository's own usage."""
    usage = repo.storage.usage()
    if usage is None:
        return {}
    return {'total': usage.total, 'free': usage.free}


def tree(
    repo: repository.Repository, spec: messages.TreeSpec
) -> repository_tree.Tree:
    locator = None
    if spec.tree is not None:
        locator = location.Locator.from_json(spec.tree)
    return repository_tree.Tree(repo, locator, spec.size, spec.chunk_size)
