# SPDX-License-Identifier: Apache-2.0
"""Reading and writing through an open descriptor, for devices and files.

A source or target may be used by several threads at once: positioned reads
and writes share no state, and nothing else changes between opening and
closing.
"""

from collections.abc import Callable
from collections.abc import Iterator
import errno
import mmap
import os

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import hold as driver_hold
from ebackup_service.production import memory
from ebackup_service.production import punch

_ZEROS = 1 << 20  # bytes zeroed at a time where nothing can punch a hole


class DescriptorSource:
    """See base.Source.

    :param name: for messages
    :param list_extents: what extents() answers
    :param release: called after closing, once
    :param hold: looked at before each piece of input
    :param direct: the same file opened with O_DIRECT, or -1. The page cache
        reads a device in pieces of some KiB, each waited for, which takes
        several times as long (measured: 0.5 and 4 GB/s), and what it holds
        may be older than what another host has written
    """

    gaps = base.ExtentKind.HOLE
    memory = memory.NOTHING

    def __init__(
        self,
        descriptor: int,
        name: str,
        size: int,
        list_extents: Callable[[], Iterator[base.Extent]],
        release: Callable[[], None] | None = None,
        hold: driver_hold.Hold = driver_hold.UNKNOWN,
        direct: int = -1,
    ) -> None:
        self.size = size
        self.waits = direct >= 0
        self._descriptor = descriptor
        self._direct = direct
        self._name = name
        self._hold = hold
        self._list_extents = list_extents
        self._release = release

    def extents(self) -> Iterator[base.Extent]:
        try:
            yield from self._list_extents()
        except OSError as e:
            raise _unreadable(self._name, e) from e

    def expect(self, offset: int, length: int) -> None:
        pass  # The kernel reads ahead, as far as that is of use.

    def read(self, offset: int, buffer: memoryview) -> memoryview:
        _read(
            (self._direct, self._descriptor),
            *(self._name, self._hold, offset, buffer),
        )
        return buffer

    def confirm(self) -> None:
        pass  # What is open stays what it is.

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        direct, self._direct = self._direct, -1
        if direct >= 0:
            os.close(direct)
        if descriptor >= 0:
            os.close(descriptor)
            if self._release is not None:
                self._release()


class DescriptorTarget:
    """See base.Target.

    :param direct: the same file opened with O_DIRECT, or -1. Writing past the
        page cache costs less CPU, keeps the host's cache for its guests, and
        leaves flush() nothing to wait for.
    :param hold: looked at before each piece that is read, and each call that
        writes
    """

    memory = memory.NOTHING

    def __init__(
        self,
        descriptor: int,
        direct: int,
        name: str,
        size: int,
        truncated: bool,
        alignment: int,
        hold: driver_hold.Hold = driver_hold.UNKNOWN,
    ) -> None:
        self.size = size
        self.truncated = truncated
        self.alignment = alignment
        self._descriptor = descriptor
        self._direct = direct
        self._name = name
        self._hold = hold

    def read_into(self, offset: int, buffer: memoryview) -> None:
        _read(
            (self._direct, self._descriptor),
            *(self._name, self._hold, offset, buffer),
        )

    def write(self, offset: int, buffer: memoryview) -> None:
        self._check_range(offset, len(buffer))
        try:
            done = 0
            if self._direct >= 0 and not offset % self.alignment:
                done = self._write_direct(offset, buffer)
            self._write(self._descriptor, offset + done, buffer[done:])
        except OSError as e:
            raise self._unwritable(e) from e

    def zero(self, offset: int, length: int) -> None:
        self._check_range(offset, length)
        if not length:
            return
        try:
            self._hold.check(self._descriptor)
            if punch.hole(self._descriptor, offset, length):
                return
            zeros = memoryview(bytes(min(length, _ZEROS)))
            for position in range(offset, offset + length, _ZEROS):
                piece = zeros[: offset + length - position]
                self._hold.check(self._descriptor)
                if not punch.zero_range(
                    self._descriptor, position, len(piece)
                ):
                    self._write(self._descriptor, position, piece)
        except OSError as e:
            raise self._unwritable(e) from e

    def flush(self) -> None:
        try:
            os.fsync(self._descriptor)
            # Whoever reads the volume next may do so past this host's cache.
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as e:
            raise self._unwritable(e) from e

    def close(self) -> None:
        for descriptor in (self._direct, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._direct = self._descriptor = -1

    def _write_direct(self, offset: int, buffer: memoryview) -> int:
        """Returns how many bytes went that way, from the start on."""
        length = len(buffer) - len(buffer) % self.alignment
        try:
            self._write(self._direct, offset, buffer[:length])
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            return 0  # the buffer's address is not aligned
        return length

    def _write(self, descriptor: int, offset: int, buffer: memoryview) -> None:
        while buffer:
            self._hold.check(descriptor)
            count = os.pwritev(descriptor, [buffer], offset)
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            offset += count
            buffer = buffer[count:]

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size:
            raise ValueError(
                f'{length} bytes at {offset} are not inside the '
                f'{self.size} bytes of {self._name}'
            )

    def _unwritable(self, e: OSError) -> errors.TargetUnavailable:
        return errors.TargetUnavailable(
            f'{e.strerror} while writing {self._name}: '
            'check the storage behind it, then restore again'
        )


def open_direct(descriptor: int, access: int) -> int:
    """What the descriptor refers to, with O_DIRECT; -1 where that can't be.

    :param access: os.O_RDONLY or os.O_RDWR
    """
    try:
        return os.open(
            f'/proc/self/fd/{descriptor}',
            access | os.O_DIRECT | os.O_CLOEXEC,
        )
    except OSError:
        return -1


DIRECT_ALIGNMENT = mmap.PAGESIZE  # satisfies every file system and device


def _read(
    descriptors: tuple[int, int],
    name: str,
    hold: driver_hold.Hold,
    offset: int,
    buffer: memoryview,
) -> None:
    """:param descriptors: with O_DIRECT, or -1; without"""
    direct, descriptor = descriptors
    try:
        hold.check(descriptor)
        if direct >= 0:
            try:
                _fill(direct, name, offset, buffer)
                return
            except OSError as e:
                if e.errno != errno.EINVAL:
                    raise
                # offset, length, or the buffer's address is not aligned
        _fill(descriptor, name, offset, buffer)
    except OSError as e:
        raise _unreadable(name, e) from e


def _fill(descriptor: int, name: str, offset: int, buffer: memoryview) -> None:
    while buffer:
        count = os.preadv(descriptor, [buffer], offset)
        if not count:
            raise errors.SizeMismatch(
                f'{name} ended at byte {offset}, it is shorter than it '
                'was when it was opened: was the volume shrunk?'
            )
        offset += count
        buffer = buffer[count:]


def _unreadable(name: str, e: OSError) -> errors.SourceUnavailable:
    return errors.SourceUnavailable(
        f'{e.strerror} while reading {name}: '
        'check the storage behind it, then try again'
    )
