# SPDX-License-Identifier: Apache-2.0
"""What server and proxy say to each other; ``topics`` has the version.

Each message is a frozen dataclass with ``to_dict()`` for the wire and
``from_dict()``, which takes nothing but what its schema allows
(``errors.MessageInvalid``), and ignores members that it doesn't know. Sizes
are bytes, durations seconds.
"""

import dataclasses
from typing import Any

from ebackup_service.rpc import message
from ebackup_service.rpc import schemas


# Of a job's progress: that its proxy has the connection to the volume.
CONNECTED = 'connected'


@dataclasses.dataclass(frozen=True)
class Owner(message.Message):
    """The service that owns a repository; a takeover raises generation.

    With a takeover: the greatest generation that the server knows of.
    """

    SCHEMA = schemas.OWNER

    service_id: str
    generation: int


@dataclasses.dataclass(frozen=True)
class RepositorySpec(message.Message):
    SCHEMA = schemas.REPOSITORY
    PARTS = {'owner': Owner}

    id: str
    name: str
    url: str
    owner: Owner
    compression: str
    compression_level: int
    minimum_free: int


@dataclasses.dataclass(frozen=True)
class ImageSpec(message.Message):
    SCHEMA = schemas.IMAGE

    id: str
    project_id: str
    volume_id: str
    generation: int
    size: int
    chunk_size: int
    record: dict[str, Any]
    volume_metadata: str | None


@dataclasses.dataclass(frozen=True)
class TreeSpec(message.Message):
    """A tree in the repository that the job keeps from collection.

    ``tree`` is the root page's locator as JSON; None: all holes.
    ``damaged``: [offset, length] of what of it is known to be damaged.
    """

    SCHEMA = schemas.TREE

    image_id: str
    tree: dict[str, Any] | None
    size: int
    chunk_size: int
    damaged: list[list[int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class TargetSpec(message.Message):
    SCHEMA = schemas.TARGET

    volume_id: str
    size: int
    is_new: bool


@dataclasses.dataclass(frozen=True)
class Checkpoint(message.Message):
    """How far a backup is, and all that another run needs to go on.

    ``tree``: the root page's locator as JSON, of the leaves before ``leaf``;
    None: all holes. ``total``: counters so far, name -> number.
    """

    SCHEMA = schemas.CHECKPOINT

    tree: dict[str, Any] | None
    leaf: int
    total: dict[str, int]


@dataclasses.dataclass(frozen=True)
class SampleSpec(message.Message):
    """Which packs a check reads: see ``repository.sample``."""

    SCHEMA = schemas.SAMPLE

    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class StorageSpec(message.Message):
    """The registered production storage that a volume lives on.

    ``trust``: 'trusted' or 'shadow'. ``anchors``: whether a snapshot of the
    volume stays on it. What the others mean is known to storages of the kind.
    """

    SCHEMA = schemas.STORAGE

    id: str
    name: str
    kind: str
    settings: dict[str, Any]
    credentials: dict[str, Any] | None = dataclasses.field(repr=False)
    trust: str
    anchors: bool


@dataclasses.dataclass(frozen=True)
class VolumeSpec(message.Message):
    """What finds a volume, or a snapshot of it, on a registered storage.

    ``name``: on the back end. ``in_use``: it changes while it is read.
    ``snapshot``: Cinder's, that is to be read, with id, name and
    provider_location.
    """

    SCHEMA = schemas.VOLUME

    id: str
    name: str | None = None
    host: str | None = None
    provider_location: str | None = None
    in_use: bool = False
    snapshot: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class SnapshotSpec(message.Message):
    """One of our snapshots: of which LUN, and its name and id there."""

    SCHEMA = schemas.SNAPSHOT

    lun: str
    name: str
    snapshot_id: str


@dataclasses.dataclass(frozen=True)
class ReleaseSpec(message.Message):
    """One of our snapshots that is to be removed.

    Without ``snapshot_id`` nobody knows whether it exists.
    """

    SCHEMA = schemas.RELEASE
    PARTS = {'volume': VolumeSpec}

    id: str
    volume: VolumeSpec
    lun: str
    name: str
    snapshot_id: str | None


@dataclasses.dataclass(frozen=True)
class JobSpec(message.Message):
    """All that a proxy must know of a job.

    ``base``: what a backup compares with, or what the target of a restore held
    once. ``begun``: where it goes on, with
    the same base, if an earlier run has left a checkpoint. ``tree``: what a
    restore writes. ``sample``: what a check reads, besides what refers to it.
    ``partial``: a restore succeeds although some of the image is damaged.
    ``whole``: a collection looks at everything, not at what has changed.
    ``storage``: that of the volume, if it is one that is registered.
    ``volume``: where that has it. ``snapshot``: what an earlier run of the
    backup has taken. ``anchor``: what the storage has of the base.
    ``release``: the snapshots that are to be removed. ``attachment_timeout``:
    how long the attachment is waited for, which comes by ``connect``; 0: it is
    here, or none is needed.
    ``lease`` only says how long the server waits for the first renewal; I/O
    begins when that has been granted.
    """

    SCHEMA = schemas.JOB
    PARTS = {
        'repository': RepositorySpec,
        'image': ImageSpec,
        'base': TreeSpec,
        'tree': TreeSpec,
        'target': TargetSpec,
        'begun': Checkpoint,
        'sample': SampleSpec,
        'storage': StorageSpec,
        'volume': VolumeSpec,
        'snapshot': SnapshotSpec,
        'anchor': SnapshotSpec,
        'release': ReleaseSpec,
    }

    id: str
    kind: str
    token: int
    lease: float
    repository: RepositorySpec
    image: ImageSpec | None = None
    base: TreeSpec | None = None
    tree: TreeSpec | None = None
    target: TargetSpec | None = None
    attachment: dict[str, Any] | None = dataclasses.field(
        default=None, repr=False
    )
    begun: Checkpoint | None = None
    sample: SampleSpec | None = None
    partial: bool = False
    whole: bool = False
    storage: StorageSpec | None = None
    volume: VolumeSpec | None = None
    snapshot: SnapshotSpec | None = None
    anchor: SnapshotSpec | None = None
    release: list[ReleaseSpec] = dataclasses.field(default_factory=list)
    attachment_timeout: float = 0.0


@dataclasses.dataclass(frozen=True)
class Connection(message.Message):
    """How a host reaches what Cinder exports to it; it has secrets.

    As Cinder's volume drivers answer, and os-brick takes it.
    """

    SCHEMA = schemas.CONNECTION

    driver_volume_type: str
    data: dict[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Grant(message.Message):
    """The answer to a renewal.

    Granted: the proxy may go on for ``seconds`` from the moment it asked.
    Else ``reason`` is the kind of error that the job ends with.
    """

    SCHEMA = schemas.GRANT

    granted: bool
    seconds: float = 0.0
    reason: str = ''
    message: str = ''


@dataclasses.dataclass(frozen=True)
class Decision(message.Message):
    """Whether the server took a commit or an outcome, and if not, why."""

    SCHEMA = schemas.DECISION

    accepted: bool
    reason: str = ''


@dataclasses.dataclass(frozen=True)
class Plan(message.Message):
    """The name of a snapshot that a proxy may take now.

    Not ``accepted``: the proxy no longer holds the job.
    """

    SCHEMA = schemas.PLAN

    accepted: bool
    name: str = ''


@dataclasses.dataclass(frozen=True)
class JobError(message.Message):
    SCHEMA = schemas.ERROR

    kind: str
    message: str
    retryable: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome(message.Message):
    """How a run of a job ended.

    ``returned``: not as it should, and not for good: another run, here or
    elsewhere, may begin it, or go on. ``progress`` is the last that there is
    to tell.
    """

    SCHEMA = schemas.OUTCOME
    PARTS = {'error': JobError}

    state: str
    result: dict[str, Any] | None = None
    error: JobError | None = None
    progress: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Commit(message.Message):
    """What the catalog keeps of a candidate root."""

    SCHEMA = schemas.COMMIT

    tree: dict[str, Any] | None
    size: int
    chunk_size: int
    statistics: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Live(message.Message):
    """What a collection must and must not keep.

    ``dead``: those of the asked images that are failed or deleted; ``pins``:
    trees in use; ``missed``: the images of those that no job needs, and that
    are available and were not asked about; ``sessions``: those that may still
    refer to their packs; ``uncommitted``: those of the dead that failed
    before the catalog took a commit.
    Not ``accepted``: the asking job is no longer the one that collects.
    """

    SCHEMA = schemas.LIVE
    PARTS = {'pins': TreeSpec}

    accepted: bool
    dead: list[str] = dataclasses.field(default_factory=list)
    pins: list[TreeSpec] = dataclasses.field(default_factory=list)
    missed: list[str] = dataclasses.field(default_factory=list)
    sessions: list[str] = dataclasses.field(default_factory=list)
    uncommitted: list[str] = dataclasses.field(default_factory=list)
