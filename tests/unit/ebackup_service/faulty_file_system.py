# SPDX-License-Identifier: Apache-2.0
"""A file system that passes through to a directory, and fails when told to.

    python -m tests.unit.ebackup_service.faulty_file_system DIRECTORY PLACE

A process of its own, so that who waits for it never waits for himself. It
mounts itself at the place, which takes root, and then reads commands from its
standard input, each a line of JSON, and answers each with one; faulty_fixture
has the other end.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import errno
import json
import os
import re
import sys
import threading
from typing import Any

import mfusepy

_NOREPLACE = 1


@dataclasses.dataclass
class Rule:
    """What goes wrong.

    :ivar call: name of the call; '' for all of them
    :ivar error: number of the error; 0: it hangs until the rule is taken back
    :ivar path: regular expression that its path matches
    :ivar after: how many such calls go well before
    :ivar times: how many go wrong then
    :ivar bad: of a file's bytes; only reads and writes that touch it go wrong
    """

    call: str
    error: int
    path: str = ''
    after: int = 0
    times: int = sys.maxsize
    bad: int | None = None


class Faults:
    """``_changed`` protects the rules, and the number of calls that hang."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rules: list[Rule] = []
        self._hanging = 0
        self._calls = 0

    def add(self, rule: Rule) -> None:
        with self._changed:
            self._rules.append(rule)

    def clear(self) -> int:
        """Take all rules back; how many calls there were since the last."""
        with self._changed:
            self._rules.clear()
            calls, self._calls = self._calls, 0
            self._changed.notify_all()
        return calls

    @property
    def hanging(self) -> int:
        with self._changed:
            return self._hanging

    def meet(self, call: str, path: str, touched: range | None = None) -> None:
        """:raises OSError: a rule says so"""
        with self._changed:
            self._calls += 1
            rule = self._applying(call, path, touched)
            if rule is None:
                return
            if rule.error:
                raise OSError(rule.error, os.strerror(rule.error))
            self._hanging += 1
            self._changed.wait_for(lambda: rule not in self._rules)
            self._hanging -= 1

    def _applying(
        self, call: str, path: str, touched: range | None
    ) -> Rule | None:
        for rule in self._rules:
            if rule.call not in ('', call) or not re.search(rule.path, path):
                continue
            if rule.bad is not None and (
                touched is None or rule.bad not in touched
            ):
                continue
            if rule.after:
                rule.after -= 1
            elif rule.times:
                rule.times -= 1
                return rule
        return None


class PassThrough(mfusepy.Operations):
    """Paths begin with a slash; descriptors are those of the directory."""

    use_ns = True

    def __init__(self, directory: str, faults: Faults) -> None:
        self._directory = directory
        self._faults = faults
        self.has_links = True
        self.has_exclusive_rename = True

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self._called('getattr', path) as real:
            status = os.lstat(real) if fh is None else os.fstat(fh)
        return {
            **{
                name: getattr(status, name)
                for name in (
                    'st_ino',
                    'st_mode',
                    'st_nlink',
                    'st_size',
                    'st_uid',
                    'st_gid',
                    'st_blocks',
                )
            },
            'st_mtime': status.st_mtime_ns,
            'st_ctime': status.st_ctime_ns,
        }

    def readdir(
        self, path: str, fh: int
    ) -> list[tuple[str, dict[str, int], int]]:
        with self._called('readdir', path) as real:
            with os.scandir(real) as entries:
                return [
                    (entry.name, {'st_ino': entry.inode()}, 0)
                    for entry in entries
                ]

    def mkdir(self, path: str, mode: int) -> int:
        with self._called('mkdir', path) as real:
            os.mkdir(real, mode)
        return 0

    def rmdir(self, path: str) -> int:
        with self._called('rmdir', path) as real:
            os.rmdir(real)
        return 0

    def unlink(self, path: str) -> int:
        with self._called('unlink', path) as real:
            os.unlink(real)
        return 0

    def link(self, target: str, source: str) -> int:
        with self._called('link', target) as real:
            if not self.has_links:
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            os.link(self._directory + source, real)
        self._faults.meet('linked', target)
        return 0

    def rename(self, old: str, new: str) -> int:
        return self.rename_with_flags(old, new, 0)

    def rename_with_flags(self, old: str, new: str, flags: int) -> int:
        with self._called('rename', new) as real:
            if flags & ~_NOREPLACE or (
                flags and not self.has_exclusive_rename
            ):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if flags:
                os.link(self._directory + old, real)
                os.unlink(self._directory + old)
            else:
                os.rename(self._directory + old, real)
        self._faults.meet('renamed', new)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self._called('create', path) as real:
            return os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        with self._called('open', path) as real:
            return os.open(real, flags & ~os.O_DIRECT)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._called('read', path, range(offset, offset + size)):
            return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        touched = range(offset, offset + len(data))
        with self._called('write', path, touched):
            return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self._called('fsync', path):
            os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._called('fsyncdir', path):
            return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        with self._called('statfs', path) as real:
            status = os.statvfs(real)
        return {
            name: getattr(status, name)
            for name in ('f_bsize', 'f_frsize', 'f_blocks', 'f_bavail')
        }

    @contextlib.contextmanager
    def _called(
        self, call: str, path: str, touched: range | None = None
    ) -> Iterator[str]:
        self._faults.meet(call, path, touched)
        yield self._directory + path


class _Fuse(mfusepy.FUSE):
    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        return self.operations.rename_with_flags(
            os.fsdecode(old), os.fsdecode(new), flags
        )


def obey(command: dict[str, Any], files: PassThrough, faults: Faults) -> Any:
    """Do what a line says; the answer."""
    match command:
        case {'rule': rule}:
            return faults.add(Rule(**rule))
        case {'set': name, 'to': value}:
            return setattr(files, name, value)
        case {'get': 'hanging'}:
            return faults.hanging
        case {'clear': _}:
            return faults.clear()
    raise ValueError(f'unknown command {command}')


def main(directory: str, place: str) -> None:
    faults = Faults()
    files = PassThrough(directory, faults)

    def listen() -> None:
        for line in sys.stdin:
            answer = obey(json.loads(line), files, faults)
            sys.stdout.write(f'{json.dumps(answer)}\n')
            sys.stdout.flush()
        # Whoever told us what to do is gone.
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    _Fuse(
        files,
        place,
        foreground=True,
        fsname='faulty',
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        hard_remove=True,
        use_ino=True,
    )


if __name__ == '__main__':
    main(*sys.argv[1:])
