# SPDX-License-Identifier: Apache-2.0
"""The contract between the engine and whatever volumes live on.

A production storage is asked for a :class:`Source` (to read a volume or a
snapshot of it) or for a :class:`Target` (to restore to). What a storage can do
beyond that it declares in its :class:`Capabilities`; nobody asks by
``isinstance``. Offsets, lengths and sizes are bytes. All errors are
:class:`ebackup_service.production.errors.ProductionError`.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import enum
from typing import Any
from typing import NamedTuple
from typing import Protocol

from oslo_config import cfg

# What the driver says about how the volume can be reached. Its ``kind`` names
# the production storage; the rest only that storage understands. It may hold
# secrets, so it is never logged and never part of an error.
Attachment = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What a production storage can do beyond opening a volume.

    allocated_extents: names holes, which then are not read
    changed_extents: names what changed since an earlier snapshot
    snapshots: can take, list and drop snapshots itself
    lan_free: any proxy with access to the storage network reaches it
    """

    allocated_extents: bool = False
    changed_extents: bool = False
    snapshots: bool = False
    lan_free: bool = False


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
    """

    size: int
    gaps: ExtentKind

    def extents(self) -> Iterator[Extent]:
        """Sorted by offset, not overlapping, inside the volume; streaming.

        May be called again.

        An extent that is neither DATA nor what a reader of the bytes would
        find is a corrupt backup: a storage in doubt says DATA.
        """
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer. Holes and unchanged bytes may be read too.

        May be called by several threads at once.
        """
        ...

    def close(self) -> None:
        """No call may be under way; may be called twice."""
        ...


class Target(Protocol):
    """A volume open for restoring to, and used by nobody else.

    size: of the volume, which may be larger than the image
    truncated: a file that was emptied: everything reads as zeros already
    alignment: offsets and lengths that are multiples of it, from a buffer that
        starts at such an address, are written without a copy; all others too
    """

    size: int
    truncated: bool
    alignment: int

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


class ProductionStorage(Protocol):
    capabilities: Capabilities

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> 'ProductionStorage': ...

    def open_source(self, attachment: Attachment, size: int) -> Source:
        """Any number of sources of one volume may be open at once.

        size: of the volume according to Cinder

        :raises AttachmentInvalid: not what this storage understands
        :raises PathUnknown: no such volume is reached from here
        :raises SizeMismatch: the volume has another size
        """
        ...

    def open_target(
        self, attachment: Attachment, size: int, volume_is_new: bool
    ) -> Target:
        """size: of the volume to restore to, according to Cinder.

        volume_is_new: made for this restore; a storage that knows that its new
        volumes read as zeros says so by ``truncated``.

        :raises: what open_source() raises; the volume is as it was then
        """
        ...
