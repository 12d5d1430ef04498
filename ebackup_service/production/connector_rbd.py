# SPDX-License-Identifier: Apache-2.0
"""Images of Ceph that os-brick has opened, by librbd.

A back end of Ceph is better registered as a storage of kind rbd, which knows
what has changed. What Cinder exports is read and written here in any case.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from typing import Any

from ebackup_service.production import attached
from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_io
from ebackup_service.production import rbd_reads
from ebackup_service.production import rbd_size
from ebackup_service.production import rbd_writes


class ImageVolume:
    """See base.Source and base.Target: both, of one open image.

    Whoever has opened the image closes it.

    :param image: rbd.Image; librbd serves any number of threads
    """

    gaps = base.ExtentKind.HOLE
    waits = True
    truncated = False
    alignment = 512
    memory = rbd_io.TARGET

    def __init__(
        self, image: Any, name: str, size: int, calls: rbd_calls.Calls
    ) -> None:
        self.size = size
        self._name = name
        self._reads = rbd_reads.Reads(calls, image)
        self._writes = rbd_writes.Writes(calls, image)

    def extents(self) -> Iterator[base.Extent]:
        if self.size:
            yield base.Extent(0, self.size, base.ExtentKind.DATA)

    def expect(self, offset: int, length: int) -> None:
        self._reads.expect(offset, length)

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        with self._settled(offset, buffer):
            return self._reads.read(offset, buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        with self._settled(offset, buffer):
            self._reads.read_into(offset, buffer)

    def confirm(self) -> None:
        pass  # Cinder keeps what it exports.

    def write(self, offset: int, buffer: memoryview) -> None:
        self._check_range(offset, len(buffer))
        with self._written():
            self._writes.write(offset, buffer)

    def zero(self, offset: int, length: int) -> None:
        self._check_range(offset, length)
        with self._written():
            self._writes.zero(offset, length)

    def flush(self) -> None:
        with self._written():
            self._writes.flush()

    def close(self) -> None:
        self._reads.forget()

    @contextlib.contextmanager
    def _settled(self, offset: int, buffer: memoryview) -> Iterator[None]:
        """For reading what may just be being written."""
        with self._written():
            self._writes.settle(offset, len(buffer))
        try:
            yield
        except OSError as e:
            raise self._failed(errors.SourceUnavailable, e) from e

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise self._failed(errors.TargetUnavailable, e) from e

    def _failed(
        self, error: type[errors.ProductionError], e: OSError
    ) -> errors.ProductionError:
        return error(
            f'{e.strerror} while reading or writing {self._name}: check '
            "Ceph's health, then try again"
        )

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise ValueError(
                f'{length} bytes at {offset} are not inside the '
                f'{self.size} bytes of {self._name}'
            )


class ImageLun(attached.WithoutSnapshots):
    """See base.Lun; attached until it is closed.

    What is begun here are reads and writes of the image, whose ends librbd
    waits for before it closes the image.

    :param handle: os-brick's RBDVolumeIOWrapper
    :param detach: what closing does
    :param check: see ProductionStorage.from_conf
    """

    def __init__(
        self,
        handle: Any,
        detach: Callable[[], None],
        check: Callable[[], None],
    ) -> None:
        image = handle.rbd_image
        self.key = f'{handle.rbd_pool}/{image.get_name()}'
        self._image = image
        self._detach = detach
        self._calls = rbd_calls.Calls(check)

    def open_source(
        self,
        size: int,
        snapshot: base.Snapshot | None = None,
        since: base.Snapshot | None = None,
    ) -> base.Source:
        return self._opened(size)

    def open_target(self, size: int, volume_is_new: bool) -> base.Target:
        return self._opened(size)

    def close(self) -> None:
        self._detach()

    def _opened(self, size: int) -> ImageVolume:
        name = f'image {self.key}'
        size = rbd_size.of_volume(self._image, name, size)
        return ImageVolume(self._image, name, size, self._calls)
