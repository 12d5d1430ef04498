# SPDX-License-Identifier: Apache-2.0
"""Block devices as sources and targets."""

from collections.abc import Iterator
import fcntl
import os
import struct

from ebackup_service.production import base
from ebackup_service.production import claims
from ebackup_service.production import descriptor as io
from ebackup_service.production import errors
from ebackup_service.production import hold as driver_hold
from ebackup_service.production import paths

_BLKSSZGET = 0x1268  # linux/fs.h: logical sector size, int


def open_source(
    place: paths.Place,
    size: int,
    hold: driver_hold.Hold = driver_hold.UNKNOWN,
) -> base.Source:
    def open_exclusively() -> int:
        return paths.open_place(place, os.O_RDONLY | os.O_EXCL)

    claim = claims.share(place.status.st_rdev, open_exclusively)
    try:
        opened = paths.open_place(place, os.O_RDONLY)
        try:
            hold.check(opened)
            _check_size(opened, place.given, size)
            # Another host may have written since this one last read.
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            return io.DescriptorSource(
                opened,
                place.given,
                size,
                lambda: _everything(size),
                claim.release,
                hold,
                io.open_direct(opened, os.O_RDONLY),
            )
        except BaseException:
            os.close(opened)
            raise
    except BaseException:
        claim.release()
        raise


def open_target(
    place: paths.Place,
    size: int,
    hold: driver_hold.Hold = driver_hold.UNKNOWN,
) -> base.Target:
    opened = paths.open_place(place, os.O_RDWR | os.O_EXCL)
    try:
        hold.check(opened)
        _check_size(opened, place.given, size)
        alignment = _sector_size(opened)
        return io.DescriptorTarget(
            opened,
            io.open_direct(opened, os.O_RDWR),
            place.given,
            size,
            truncated=False,
            alignment=alignment,
            hold=hold,
        )
    except BaseException:
        os.close(opened)
        raise


def _everything(size: int) -> Iterator[base.Extent]:
    if size:
        yield base.Extent(0, size, base.ExtentKind.DATA)


def _check_size(opened: int, name: str, size: int) -> None:
    found = os.lseek(opened, 0, os.SEEK_END)
    if found != size:
        raise errors.SizeMismatch(
            f'{name} has {found} bytes, the volume {size}: '
            'is it the right volume, and does the host know its new size?'
        )


def _sector_size(opened: int) -> int:
    answer = fcntl.ioctl(opened, _BLKSSZGET, bytes(4))
    size: int = struct.unpack('=i', answer)[0]
    return size
