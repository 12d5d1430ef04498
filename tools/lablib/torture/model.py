# SPDX-License-Identifier: Apache-2.0
"""What has to be true: which backups are acknowledged, and their bytes."""

from collections.abc import Sequence
import dataclasses
from typing import TypeVar

from lablib.torture import plan

# More acknowledged backups than this are not kept, so that the restores at
# the end take no longer than the rounds.
MOST = 12
# GiB, to which a volume grows at most.
LARGEST = 2
_BACKUPS = ('backup', 'incremental', 'snapshot', 'in-use', 'grow', 'cancel')
_GIB = 1 << 30


@dataclasses.dataclass(eq=False)
class Volume:
    """digest: what sparse.digest() has to return while nothing writes.

    None: a restore that failed has left something, nobody knows what.
    size: GiB
    in_pool: whether it is an image in Ceph
    in_file: whether Cinder attaches it as a plain file, and so empties it
        before each restore
    """

    id: str
    digest: str | None = None
    size: int = 1
    in_pool: bool = False
    in_file: bool = False

    @property
    def bytes(self) -> int:
        return self.size * _GIB


@dataclasses.dataclass(eq=False)
class Backup:
    """digest: of the first bytes, size GiB, of what it is restored to."""

    id: str
    volume_id: str
    digest: str
    size: int = 1

    @property
    def bytes(self) -> int:
        return self.size * _GIB


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

    @property
    def volume_ids(self) -> set[str]:
        """Return the volumes that it has to do with."""
        ids = {self.volume.id} if self.volume else set()
        return ids | ({self.backup.volume_id} if self.backup else set())

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
        too many by a deletion, a restore over no volume by one to a new one,
        growing of what is large enough by a backup. One for which nothing
        remains is left out.
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
                if kind == 'grow' and volume and volume.size >= LARGEST:
                    kind = 'backup'
            elif kind == 'restore-over':
                volume = _target(volumes, backup, operation.other)
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


def _target(
    volumes: list[Volume], backup: Backup | None, fraction: float
) -> Volume | None:
    """Take what a backup fits on: every other time the volume it is of."""
    if backup is None:
        return None
    own = [one for one in volumes if one.id == backup.volume_id]
    if own and fraction < 0.5:
        volumes.remove(own[0])
        return own[0]
    large = [one for one in volumes if one.size >= backup.size]
    chosen = _take(large, fraction)
    if chosen is not None:
        volumes.remove(chosen)
    return chosen


def _take(things: list[_Thing], fraction: float) -> _Thing | None:
    if not things:
        return None
    return things.pop(int(fraction * len(things)))
