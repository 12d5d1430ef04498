# SPDX-License-Identifier: Apache-2.0
"""Reading and writing an image, several requests at a time.

librbd serves any number of threads.
"""

from collections.abc import Iterator
import contextlib
import functools

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import memory
from ebackup_service.production import rbd_cluster
from ebackup_service.production import rbd_extents
from ebackup_service.production import rbd_reads
from ebackup_service.production import rbd_writes

SOURCE = memory.Memory(rbd_extents.TAKEN, rbd_reads.TAKEN)
TARGET = memory.Memory(rbd_writes.MOST, rbd_reads.TAKEN)


class RbdSource:
    """See base.Source.

    Of a snapshot that is being removed Ceph reads zeros, or what came later.
    So whatever was read, or listed, counts only if afterwards all that it
    was read from is still there.

    :param snapshot: that is read; None: the volume
    :param since: that it is compared with
    """

    def __init__(
        self,
        cluster: rbd_cluster.Cluster,
        image: rbd_cluster.Image,
        name: str,
        image_id: str,
        size: int,
        snapshot: base.Snapshot | None,
        since: base.Snapshot | None,
        lister: rbd_extents.Lister,
        opened: contextlib.ExitStack,
    ) -> None:
        self.size = size
        self.gaps = lister.gaps
        self.waits = True
        self.memory = SOURCE
        self._cluster = cluster
        self._image = image
        self._name = name
        self._id = image_id
        self._snapshot = snapshot
        self._since = since
        self._lister = lister
        self._opened = opened
        self._reads = rbd_reads.Reads(cluster.calls, image)

    def extents(self) -> Iterator[base.Extent]:
        step = functools.partial(self._window, self._lister.windows())
        for window in self._cluster.calls.ahead(step):
            yield from window

    def expect(self, offset: int, length: int) -> None:
        with self._reading():
            self._reads.expect(offset, length)

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        with self._reading():
            return self._reads.read(offset, buffer)

    def confirm(self) -> None:
        with self._reading():
            self._confirm()

    def close(self) -> None:
        self._reads.forget()
        self._opened.close()

    def _window(
        self, windows: Iterator[rbd_extents.Extents]
    ) -> rbd_extents.Extents | None:
        with self._cluster.library.explained(
            f'listing what is allocated, or changed, of {self._name}'
        ):
            try:
                return next(windows, None)
            finally:
                # What it is that is gone, if that is why it failed.
                self._confirm()
                self._confirm_since()

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        return self._cluster.library.explained(f'reading {self._name}')

    def _confirm(self) -> None:
        if self._snapshot is not None:
            self._confirm_snapshot(self._snapshot)
        else:
            self._confirm_size()

    def _confirm_size(self) -> None:
        size = self._cluster.image_size(self._id)
        if size != self.size:
            raise errors.SizeMismatch(
                f'{self._name} has {size} bytes, and had {self.size} '
                'when it was opened: was the volume shrunk or removed?'
            )

    def _confirm_since(self) -> None:
        since = self._since
        if since is not None and not self._is_there(since):
            raise errors.DifferenceUnavailable(
                f'snapshot {since.name}, which was compared with, was '
                'removed, or renamed, by somebody'
            )

    def _is_there(self, snapshot: base.Snapshot) -> bool:
        name = self._cluster.snapshot_name(self._id, int(snapshot.id))
        return name == snapshot.name

    def _confirm_snapshot(self, snapshot: base.Snapshot) -> None:
        if not self._is_there(snapshot):
            raise errors.SnapshotUnknown(
                f'snapshot {snapshot.name} of {self._name} was removed, or '
                'renamed, by somebody while it was read'
            )


class RbdTarget:
    """See base.Target; its image's lock is ours."""

    alignment = 512
    memory = TARGET

    def __init__(
        self,
        cluster: rbd_cluster.Cluster,
        image: rbd_cluster.Image,
        name: str,
        size: int,
        truncated: bool,
        opened: contextlib.ExitStack,
    ) -> None:
        self.size = size
        self.truncated = truncated
        self._cluster = cluster
        self._name = name
        self._opened = opened
        self._reads = rbd_reads.Reads(cluster.calls, image)
        self._writes = rbd_writes.Writes(cluster.calls, image)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        with self._explained('reading'):
            self._writes.settle(offset, len(buffer))
            self._reads.read_into(offset, buffer)

    def write(self, offset: int, buffer: memoryview) -> None:
        self._check_range(offset, len(buffer))
        with self._explained('writing'):
            self._writes.write(offset, buffer)

    def zero(self, offset: int, length: int) -> None:
        self._check_range(offset, length)
        with self._explained('writing zeros to'):
            self._writes.zero(offset, length)

    def flush(self) -> None:
        with self._explained('flushing'):
            self._writes.flush()

    def close(self) -> None:
        self._opened.close()

    def _explained(
        self, doing: str
    ) -> contextlib.AbstractContextManager[None]:
        return self._cluster.library.explained(
            f'{doing} {self._name}',
            errors.TargetUnavailable,
            errors.TargetUnavailable,
        )

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise ValueError(
                f'{length} bytes at {offset} are not inside the '
                f'{self.size} bytes of {self._name}'
            )
