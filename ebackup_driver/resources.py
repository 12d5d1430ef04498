# SPDX-License-Identifier: Apache-2.0
"""What the eBackup service answers, as read-only values.

Sizes are bytes, rates bytes per second, times ISO 8601 strings as the
service wrote them. Fields that this version does not know are dropped, those
that a service does not send are None: either side may be the newer one.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, Self

from ebackup_driver import errors

_ENDED = frozenset(('succeeded', 'failed', 'cancelled'))


class _Resource:
    """Makes a dataclass of what is known in a JSON object."""

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        if not isinstance(data, Mapping):
            raise errors.ServiceFailed(
                f'Unexpected answer of the eBackup service: no {cls.__name__}'
            )
        missing = [
            f.name
            for f in fields
            if f.default is dataclasses.MISSING and f.name not in data
        ]
        if missing:
            raise errors.ServiceFailed(
                f'Unexpected answer of the eBackup service: {cls.__name__} '
                f'without {", ".join(missing)}'
            )
        return cls(**{f.name: data[f.name] for f in fields if f.name in data})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True)
class Image(_Resource):
    """A backup image: one restore point of one volume."""

    id: str
    state: str
    project_id: str | None = None
    volume_id: str | None = None
    repository: str | None = None
    generation: int | None = None
    size: int | None = None
    kind: str | None = None
    bytes_read: int | None = None
    bytes_stored: int | None = None
    chunk_size: int | None = None
    damaged_bytes: int | None = None
    damaged_extents: Any = None
    restore_damaged: bool | None = None
    snapshot_id: str | None = None
    name: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    error: Any = None
    job_id: str | None = None

    @property
    def available(self) -> bool:
        return self.state == 'available'


@dataclasses.dataclass(frozen=True)
class Progress(_Resource):
    """How far a job is; remaining is in seconds."""

    percent: float | None = None
    bytes_total: int | None = None
    bytes_done: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    bytes_stored: int | None = None
    rate: float | None = None
    remaining: float | None = None

    def ends_within(self, seconds: float) -> bool:
        """Whether the job is expected to be done so soon."""
        return (
            isinstance(self.remaining, int | float)
            and self.remaining < seconds
        )


@dataclasses.dataclass(frozen=True)
class Job(_Resource):
    """Something that the service does: a backup, a restore, upkeep."""

    id: str
    state: str
    kind: str | None = None
    needs: str | None = None
    image_id: str | None = None
    volume_id: str | None = None
    project_id: str | None = None
    repository: str | None = None
    proxy: str | None = None
    # To what a volume is to be exported, if the job needs that.
    connector: Mapping[str, Any] | None = None
    # What Cinder may export for it: type, id and proxy of each.
    exported: Any = None
    # What may still be exported for ended jobs of its volume, at its
    # reservation and when it is asked for.
    connections: Any = None
    progress: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    warning: str | None = None
    # How often it has been begun.
    runs: int | None = None
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    @property
    def advance(self) -> Progress:
        return Progress.from_dict(self.progress or {})

    def raise_for_failure(self) -> None:
        """Raise JobFailed or JobCancelled unless the job succeeded."""
        if self.state == 'succeeded':
            return
        error = self.error or {}
        message = error.get('message') or f'{self.kind} job {self.id} failed'
        kind = error.get('kind')
        if self.state == 'cancelled':
            raise errors.JobCancelled(message, kind=kind)
        raise errors.JobFailed(
            message, kind=kind, retryable=bool(error.get('retryable'))
        )


@dataclasses.dataclass(frozen=True)
class ImageRecord(_Resource):
    """What the service says about an image to Cinder.

    record: what an exported backup holds; by it the service recognises the
        image at import. Small, since Cinder's API limits it.
    volume_metadata: Cinder's own document about the volume, for a restore.
    """

    record: Mapping[str, Any]
    volume_metadata: str | None = None

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        record = dict(super().from_dict(data).record)
        volume_metadata = record.pop('volume_metadata', None)
        return cls(record=record, volume_metadata=volume_metadata)


@dataclasses.dataclass(frozen=True)
class Reservation(_Resource):
    """Answer to a request for an image: job is None if it is there already."""

    image: Image
    job: Job | None = None

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        answer = super().from_dict(data)
        return cls(
            image=Image.from_dict(answer.image),
            job=Job.from_dict(answer.job) if answer.job else None,
        )
