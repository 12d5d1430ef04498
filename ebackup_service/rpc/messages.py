# SPDX-License-Identifier: Apache-2.0
"""What server and proxy say to each other; ``topics`` has the version.

Each message is a frozen dataclass with ``to_dict()`` for the wire and
``from_dict()``, which takes nothing but what its schema allows
(``errors.MessageInvalid``), and ignores members that it doesn't know. Sizes
are bytes, durations seconds.
"""

import dataclasses
from typing import Any
from typing import ClassVar
from typing import Self

import jsonschema

from ebackup_service.rpc import errors
from ebackup_service.rpc import schemas


# Of a job's progress: that its proxy has the connection to the volume.
CONNECTED = 'connected'

# JSON knows one kind of number; what we count with has no fraction, not even
# a zero.
_extend: Any = jsonschema.validators.extend
_Validator: Any = _extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        'integer', lambda checker, value: type(value) is int
    ),
)


class Message:
    """Common to all messages: the way to the wire and back."""

    SCHEMA: ClassVar[schemas.Schema]
    # fields that are messages themselves
    PARTS: ClassVar[dict[str, type['Message']]] = {}
    validator: ClassVar[jsonschema.Draft202012Validator]

    def __init_subclass__(cls) -> None:
        cls.validator = _Validator(cls.SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        assert dataclasses.is_dataclass(self)
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: Any) -> Self:
        """:raises errors.MessageInvalid: naming the first wrong part."""
        for error in cls.validator.iter_errors(document):
            # not error.message: that quotes the value, which may be secret
            raise errors.MessageInvalid(
                f'{cls.__name__}: {error.json_path} does not match '
                f'"{error.validator}" of the schema.'
            )
        return cls._build(document)

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        assert dataclasses.is_dataclass(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: document[key] for key in document if key in known}
        for name, part in cls.PARTS.items():
            if values[name] is not None:
                values[name] = part._build(values[name])
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class Owner(Message):
    """The service that owns a repository; a takeover raises generation.

    With a takeover: the greatest generation that the server knows of.
    """

    SCHEMA = schemas.OWNER

    service_id: str
    generation: int


@dataclasses.dataclass(frozen=True)
class RepositorySpec(Message):
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
class ImageSpec(Message):
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
class TreeSpec(Message):
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
class TargetSpec(Message):
    SCHEMA = schemas.TARGET

    volume_id: str
    size: int
    is_new: bool


@dataclasses.dataclass(frozen=True)
class Checkpoint(Message):
    """How far a backup is, and all that another run needs to go on.

    ``tree``: the root page's locator as JSON, of the leaves before ``leaf``;
    None: all holes. ``total``: counters so far, name -> number.
    """

    SCHEMA = schemas.CHECKPOINT

    tree: dict[str, Any] | None
    leaf: int
    total: dict[str, int]


@dataclasses.dataclass(frozen=True)
class SampleSpec(Message):
    """Which packs a check reads: see ``repository.sample``."""

    SCHEMA = schemas.SAMPLE

    begin: int
    end: int


@dataclasses.dataclass(frozen=True)
class StorageSpec(Message):
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
class VolumeSpec(Message):
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
class SnapshotSpec(Message):
    """One of our snapshots: of which LUN, and its name and id there."""

    SCHEMA = schemas.SNAPSHOT

    lun: str
    name: str
    snapshot_id: str


@dataclasses.dataclass(frozen=True)
class ReleaseSpec(Message):
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
class JobSpec(Message):
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

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        release = [ReleaseSpec._build(one) for one in document['release']]
        return super()._build({**document, 'release': release})


@dataclasses.dataclass(frozen=True)
class Connection(Message):
    """How a host reaches what Cinder exports to it; it has secrets.

    As Cinder's volume drivers answer, and os-brick takes it.
    """

    SCHEMA = schemas.CONNECTION

    driver_volume_type: str
    data: dict[str, Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Grant(Message):
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
class Decision(Message):
    """Whether the server took a commit or an outcome, and if not, why."""

    SCHEMA = schemas.DECISION

    accepted: bool
    reason: str = ''


@dataclasses.dataclass(frozen=True)
class Plan(Message):
    """The name of a snapshot that a proxy may take now.

    Not ``accepted``: the proxy no longer holds the job.
    """

    SCHEMA = schemas.PLAN

    accepted: bool
    name: str = ''


@dataclasses.dataclass(frozen=True)
class JobError(Message):
    SCHEMA = schemas.ERROR

    kind: str
    message: str
    retryable: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome(Message):
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
class Commit(Message):
    """What the catalog keeps of a candidate root."""

    SCHEMA = schemas.COMMIT

    tree: dict[str, Any] | None
    size: int
    chunk_size: int
    statistics: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Live(Message):
    """What a collection must and must not keep.

    ``dead``: those of the asked images that are failed or deleted; ``pins``:
    trees in use; ``missed``: the images of those that no job needs, and that
    are available and were not asked about; ``sessions``: those that may still
    refer to their packs.
    Not ``accepted``: the asking job is no longer the one that collects.
    """

    SCHEMA = schemas.LIVE

    accepted: bool
    dead: list[str] = dataclasses.field(default_factory=list)
    pins: list[TreeSpec] = dataclasses.field(default_factory=list)
    missed: list[str] = dataclasses.field(default_factory=list)
    sessions: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        pins = [TreeSpec._build(pin) for pin in document['pins']]
        return super()._build({**document, 'pins': pins})
