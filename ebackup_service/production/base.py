# SPDX-License-Identifier: Apache-2.0
"""The contract between the engine and whatever volumes live on.

A production storage finds the :class:`Lun` of a Cinder volume. Of that the
proxy opens a :class:`Source` (to read the volume, or a snapshot of it) or a
:class:`Target` (to restore to), and takes and drops snapshots. What a storage
can do beyond reading and writing it declares in its :class:`Capabilities`;
nobody asks by ``isinstance``. Offsets, lengths and sizes are bytes. All errors
are :class:`ebackup_service.production.errors.ProductionError`.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import enum
from typing import Any
from typing import ClassVar
from typing import NamedTuple
from typing import Protocol
from typing import TYPE_CHECKING

from ebackup_service.production import memory as production_memory

if TYPE_CHECKING:
    # The engine needs no options, and their library takes as long to import as
    # half of what it does need.
    from oslo_config import cfg

# What the driver says about how the volume can be reached. Its ``kind`` names
# the production storage; the rest only that storage understands. It may hold
# secrets, so it is never logged and never part of an error.
Attachment = Mapping[str, Any]


def no_check() -> None:
    """Nobody stops what goes on."""


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What a production storage can do beyond opening a volume.

    allocated_extents: names holes, which then are not read
    changed_extents: names what changed since an earlier snapshot
    snapshots: takes, finds and drops snapshots
    anchors: a volume can be deleted, through Cinder, that has a snapshot of
        ours
    light_anchors: a snapshot costs less when it is reduced to an anchor
    exported: Cinder exports what is read or written to the proxy that has the
        job; the attachment has the connection
    cinder_snapshots: finds the snapshots that Cinder takes; else one is read
        where Cinder attaches it
    point_in_time: what it shows of a volume is an instant of it, whoever
        writes to it meanwhile, and can only be read; another time it may be
        another instant
    """

    allocated_extents: bool = False
    changed_extents: bool = False
    snapshots: bool = False
    anchors: bool = False
    light_anchors: bool = False
    exported: bool = False
    cinder_snapshots: bool = False
    point_in_time: bool = False


@dataclasses.dataclass(frozen=True)
class CinderSnapshot:
    """What Cinder says of a snapshot.

    name: on the back end, such as 'snapshot-UUID'
    """

    id: str
    name: str
    provider_location: str | None = None


@dataclasses.dataclass(frozen=True)
class Reference:
    """Which volume, or snapshot of it.

    volume_id: Cinder's
    attachment: what the driver said, for a storage that only knows a volume
        by that. Another registered storage has None, and goes by the rest
    name: on the back end, such as 'volume-UUID'; the UUID is another one than
        the volume's after a migration
    host: Cinder's, 'node@backend#pool'
    snapshot: that is to be read, and not the volume
    """

    volume_id: str
    attachment: Attachment | None = dataclasses.field(default=None, repr=False)
    name: str | None = None
    host: str | None = None
    provider_location: str | None = None
    snapshot: CinderSnapshot | None = None


class Snapshot(NamedTuple):
    """A snapshot on production storage.

    id: the storage's; of the LUN no other snapshot ever has it
    name: which another one may have later
    """

    id: str
    name: str


class ExtentKind(enum.IntEnum):
    DATA = 0
    HOLE = 1  # reads as zeros
    UNCHANGED = 2  # what the chain's last image holds


class Extent(NamedTuple):
    offset: int
    length: int
    kind: ExtentKind


class Source(Protocol):
    """A volume or snapshot, open for reading; its content doesn't change.

    size: of the volume
    gaps: what the bytes are that no extent names: HOLE where the storage
        lists what is allocated, UNCHANGED where it lists what changed
    waits: whether read() waits for the storage as a rule; it doesn't
        where the kernel, or expect(), has most of it read by then
    memory: that the storage takes for it in this process
    """

    size: int
    gaps: ExtentKind
    waits: bool
    memory: production_memory.Memory

    def extents(self) -> Iterator[Extent]:
        """Sorted by offset, not overlapping, inside the volume; streaming.

        May be called again. The answer goes from thread to thread, while
        others read.

        An extent that is neither DATA nor what a reader of the bytes would
        find is a corrupt backup: a storage in doubt says DATA.

        :raises DifferenceUnavailable: what has changed can't be told any more:
            what is compared with is gone; also read() may find that
        :raises: what confirm() raises, if that is known
        """
        ...

    def expect(self, offset: int, length: int) -> None:
        """Advice: the caller is going to read just that, soon.

        So a storage that is waited for may begin, and keep the bytes until
        they are asked for. It may do nothing. The caller bounds how much he
        expects at a time. May be called by several threads at once.
        """
        ...

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        """As many bytes as fill the buffer; also holes and unchanged bytes.

        They are in the buffer, or where the storage has them already: it
        copies nothing then, and nobody may write there. They count when
        confirm() has returned afterwards. May be called by several threads at
        once.
        """
        ...

    def confirm(self) -> None:
        """Return if all that was read until now is what the source holds.

        And what extents() named of a snapshot. A storage may answer anything
        for one that somebody removes, and asking about that after each read
        takes longer than many a read. Others may go on reading.

        :raises SnapshotUnknown: it is gone
        :raises SizeMismatch: the volume, which is read itself, is another one
        """
        ...

    def close(self) -> None:
        """No call may be under way; may be called twice.

        What was expected and not read is forgotten.
        """
        ...


class Target(Protocol):
    """A volume open for restoring to, and used by nobody else.

    size: of the volume, which may be larger than the image
    truncated: a file that was emptied: everything reads as zeros already
    alignment: offsets and lengths that are multiples of it, from a buffer that
        starts at such an address, are written without a copy; all others too
    memory: that the storage takes for it in this process
    """

    size: int
    truncated: bool
    alignment: int
    memory: production_memory.Memory

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer; for several threads at once."""
        ...

    def write(self, offset: int, buffer: memoryview) -> None:
        """Write the whole buffer; durable only after flush().

        For several threads at once, on ranges that don't overlap.

        :raises ValueError: the range is not inside the volume
        """
        ...

    def zero(self, offset: int, length: int) -> None:
        """Give the space back where possible; then it reads as zeros.

        Storages that can't write zeros, so callers keep the length within what
        they are willing to wait for. For several threads at once.

        :raises ValueError: the range is not inside the volume
        """
        ...

    def flush(self) -> None:
        """Everything written and zeroed so far survives a power failure."""
        ...

    def close(self) -> None:
        """No call may be under way; may be called twice. Doesn't flush."""
        ...


class Lun(Protocol):
    """A volume where it lives: a LUN, an image, a device.

    Whoever finds one closes it, after what was opened of it. Snapshots are
    only for storages with that capability, and for one thread at a time.

    key: names it among all of its storage; one that was made anew, under the
        same name, has another key, if the storage can tell the two apart
    given: the snapshot that the reference named
    """

    key: str
    given: Snapshot | None

    def take_snapshot(self, name: str) -> Snapshot:
        """What the volume holds now. Crash consistent.

        :raises SnapshotExists: the volume has one of that name
        """
        ...

    def find_snapshot(self, name: str) -> Snapshot | None:
        """The snapshot that has the name now."""
        ...

    def reduce_to_anchor(self, snapshot: Snapshot) -> None:
        """From now on only differences since it are asked for.

        A storage on which it costs something to keep what a snapshot holds
        forgets that, and remembers what changes: to read it raises
        SnapshotUnknown, but it is found and dropped as before, and ``since``
        it can be compared. Others do nothing. May be called twice.

        :raises SnapshotUnknown: there is no such snapshot (any more)
        :raises SnapshotBusy: something reads it
        """
        ...

    def drop_snapshot(self, snapshot: Snapshot) -> None:
        """Remove it, if it is there; another one of that name stays.

        :raises SnapshotBusy: something depends on it, or reads it
        """
        ...

    def open_source(
        self,
        size: int,
        snapshot: Snapshot | None = None,
        since: Snapshot | None = None,
    ) -> Source:
        """Any number of sources of one volume may be open at once.

        :param size: of what is read, according to Cinder; of a storage that
            knows better, the source has another one, by less than 1 GiB
        :param snapshot: to be read; None: the volume, which doesn't change
            meanwhile
        :param since: extents() names what is different from this earlier
            snapshot of the volume; None: what is allocated
        :raises SizeMismatch: the volume, or snapshot, has another size
        :raises SnapshotUnknown: there is no such snapshot (any more)
        :raises DifferenceUnavailable: ``since`` is none that the storage can
            compare with; without it, it can be read
        """
        ...

    def open_target(self, size: int, volume_is_new: bool) -> Target:
        """For one at a time.

        :param size: of the volume to restore to, according to Cinder; see
            open_source()
        :param volume_is_new: made for this restore; a storage that knows that
            its new volumes read as zeros says so by ``truncated``
        :raises SizeMismatch: the volume has another size; it is as it was
        """
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


class ProductionStorage(Protocol):
    """For several threads at once.

    SETTINGS, CREDENTIALS: JSON schemas of what a storage of this kind is
        registered with; None where it needs no registration
    PLACE: of the settings, those that say which volumes these are. They stay
        as they are while snapshots of ours are there; how the volumes are
        reached, and as whom, may change
    REACHED_BY: of the settings, those that say where the storage is. Without
        one of them each proxy's host says that, by a file, and another host
        may reach another storage
    MEMORY: bytes that its sources and targets take in a job with one worker,
        at most; not what another kind says, without which they can't be
    """

    SETTINGS: ClassVar[Mapping[str, Any] | None]
    CREDENTIALS: ClassVar[Mapping[str, Any] | None]
    PLACE: ClassVar[frozenset[str]]
    REACHED_BY: ClassVar[frozenset[str]]
    MEMORY: ClassVar[int]
    capabilities: Capabilities

    @classmethod
    def check_installed(cls) -> None:
        """Whether this host has what reaches such a storage.

        :raises NotInstalled: it says what is missing
        """
        ...

    @classmethod
    def from_conf(
        cls,
        conf: 'cfg.ConfigOpts',
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        check: Callable[[], None] = no_check,
    ) -> 'ProductionStorage':
        """One that is not connected yet.

        The class can be imported where the storage's own library is missing;
        an instance says so.

        :param check: raises when the job has to stop. Whoever waits for a
            storage that doesn't answer calls it every second, in the thread
            that waits, and lets pass what it raises
        :raises NotInstalled: the storage's library is missing here
        """
        ...

    def find(self, reference: Reference) -> Lun:
        """Where a volume lives.

        :raises AttachmentInvalid: not what this storage understands
        :raises PathUnknown, VolumeUnknown: no such volume is reached from here
        :raises SnapshotUnknown: the volume has no such snapshot
        :raises CredentialsRefused: whoever comes with them; never retried here
        :raises AccessDenied: it is this that they do not allow
        :raises SourceUnavailable: the storage can't be reached now
        """
        ...

    def find_kept(self, reference: Reference, key: str) -> Lun | None:
        """Where that LUN is, as long as it may have snapshots of ours.

        Wherever it has gone meanwhile, if the storage can tell: into a trash,
        or to another name. Only for storages with snapshots.

        :param reference: to the volume as it was when the LUN was found
        :param key: the LUN's
        :returns: None only if it is gone for sure, with all its snapshots
        :raises SourceUnavailable: what is reached is not where the LUN was
        :raises: what find() raises
        """
        ...

    def close(self) -> None:
        """Let go of the connection; may be called twice."""
        ...
