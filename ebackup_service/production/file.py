# SPDX-License-Identifier: Apache-2.0
"""Regular files as sources and targets."""

from collections.abc import Iterator
import errno
import os

from ebackup_service.production import backing
from ebackup_service.production import base
from ebackup_service.production import descriptor as io
from ebackup_service.production import errors
from ebackup_service.production import hold as driver_hold
from ebackup_service.production import paths


def open_source(
    place: paths.Place,
    size: int,
    hold: driver_hold.Hold = driver_hold.UNKNOWN,
) -> base.Source:
    _refuse_backing_file(place)
    opened = paths.open_place(place, os.O_RDONLY)
    try:
        hold.check(opened)
        found = os.fstat(opened).st_size
        if found != size:
            raise _wrong_size(place, found, size)
        return io.DescriptorSource(
            opened,
            place.given,
            size,
            lambda: _allocated(opened, size),
            hold=hold,
        )
    except BaseException:
        os.close(opened)
        raise


def open_target(
    place: paths.Place,
    size: int,
    hold: driver_hold.Hold = driver_hold.UNKNOWN,
) -> base.Target:
    """A file without data is one that Cinder emptied.

    It gets its size back, if it has none. One that holds something is treated
    as a device is: that is compared. It does when a restore is repeated.
    """
    _refuse_backing_file(place)
    opened = paths.open_place(place, os.O_RDWR)
    try:
        hold.check(opened)
        found = os.fstat(opened).st_size
        if found not in (0, size):
            raise _wrong_size(place, found, size)
        if not found:
            os.ftruncate(opened, size)
        emptied = next(_allocated(opened, size), None) is None
        return io.DescriptorTarget(
            opened,
            io.open_direct(opened, os.O_RDWR),
            place.given,
            size,
            truncated=emptied,
            alignment=io.DIRECT_ALIGNMENT,
            hold=hold,
        )
    except BaseException:
        os.close(opened)
        raise


def _refuse_backing_file(place: paths.Place) -> None:
    device = backing.loop_device_of(place.path, place.status)
    if device is not None:
        raise errors.PathBusy(
            f'{place.given} is the content of /dev/{device}: '
            'detach the loop device, or give its path'
        )


def _wrong_size(
    place: paths.Place, found: int, size: int
) -> errors.SizeMismatch:
    return errors.SizeMismatch(
        f'{place.given} has {found} bytes, the volume {size}: '
        'is it the right volume?'
    )


def _allocated(opened: int, size: int) -> Iterator[base.Extent]:
    end = 0
    while end < size:
        try:
            start = os.lseek(opened, end, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:
                return  # a hole up to the end
            if e.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            start, end = end, size  # the file system can't tell
        else:
            end = min(os.lseek(opened, start, os.SEEK_HOLE), size)
        if start < end:
            yield base.Extent(start, end - start, base.ExtentKind.DATA)
