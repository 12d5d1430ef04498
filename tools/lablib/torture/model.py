# SPDX-License-Identifier: Apache-2.0
"""What has to be true: which backups are acknowledged, and their bytes."""

from collections.abc import Sequence
import dataclasses
from typing import TypeVar

from lablib.torture import plan

# More acknowledged backups than this are not kept, so that the restores at
# the end take no longer than the rounds.
MOST = 12
_BACKUPS = ('backup', 'incremental', 'snapshot', 'in-use', 'cancel')


@dataclasses.dataclass(eq=False)
class Volume:
    """digest: what sparse.digest() has to return while nothing writes.

    None: a restore that failed has left something, nobody knows what.
    """

    id: str
    digest: str | None = None


@dataclasses.dataclass(eq=False)
class Backup:
    id: str
    volume_id: str
    digest: str


@dataclasses.dataclass(frozen=True)
class Task:
    """An operation with what it is done to.

    volume: that is backed up, or restored over
    backup: that is restored, or deleted
    """

    operation: plan.Operation
    kind: str
    volume: Volume | None = None
    backup: Backup | None = None

    def __str__(self) -> str:
        ids = [one.id[:8] for one in (self.backup, self.volume) if one]
        return ' '.join([self.kind, *ids])


_Thing = TypeVar('_Thing', Volume, Backup)


class Model:
    def __init__(self) -> None:
        self.volumes: list[Volume] = []
        # Those that Cinder has called available, oldest first.
        self.backups: list[Backup] = []

    def assign(self, operations: Sequence[plan.Operation]) -> list[Task]:
        """Return what the operations of a round are done to.

        No two of them touch the same volume or backup. An operation that is
        not possible is replaced: one that has no backup by a backup, a backup
        too many by a deletion, a restore over no volume by one to a new one.
        One for which nothing remains is left out.
        """
        volumes, backups = list(self.volumes), list(self.backups)
        tasks: list[Task] = []
        for operation in operations:
            kind = self._possible(operation.kind, backups)
            volume, backup = None, None
            if kind in ('restore-new', 'restore-over', 'delete'):
                backup = _take(backups, operation.subject)
            if kind in _BACKUPS:
                volume = _take(volumes, operation.subject)
            elif kind == 'restore-over':
                volume = _take(volumes, operation.other)
                if volume is None:
                    kind = 'restore-new'
            if kind in ('collect', 'check'):
                if any(task.kind == kind for task in tasks):
                    continue
            elif volume is None and backup is None:
                continue
            tasks.append(Task(operation, kind, volume, backup))
        return tasks

    def _possible(self, kind: str, free: list[Backup]) -> str:
        if kind in _BACKUPS and len(self.backups) >= MOST and free:
            return 'delete'
        if kind in ('restore-new', 'restore-over', 'delete') and not free:
            return 'backup'
        return kind


def _take(things: list[_Thing], fraction: float) -> _Thing | None:
    if not things:
        return None
    return things.pop(int(fraction * len(things)))
