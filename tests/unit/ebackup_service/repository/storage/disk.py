# SPDX-License-Identifier: Apache-2.0
"""A file system in memory that remembers what was done to it, in order.

Its log is what power_loss needs to tell what would be left without power. It
has what NasStorage uses of a POSIX file system: files that are appended to,
names, hard links, directories. Belongs to one thread at a time.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import errno
import os
from typing import Any, TypeAlias

# Nodes, files and directories, have numbers that are never used again.
TOP = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """There is a new node, empty and without a name."""

    node: int
    is_directory: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """A name in a directory means another node now; None: nothing."""

    directory: int
    name: str
    node: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """Bytes were appended to a file."""

    file: int
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Synced:
    """fsync: bytes of a file, or names of a directory, are durable."""

    node: int


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """Time has passed, and the kernel has written everything back."""


@dataclasses.dataclass(frozen=True, slots=True)
class Noted:
    """Somebody relies on something from here on."""

    fact: Any


Event: TypeAlias = Made | Named | Written | Synced | Settled | Noted


@dataclasses.dataclass(slots=True)
class File:
    data: bytes = b''
    mtime: float = 0.0


@dataclasses.dataclass(slots=True)
class Directory:
    names: dict[str, int] = dataclasses.field(default_factory=dict)


class Disk:
    """Paths are relative, with single slashes; '' is the top directory.

    :ivar log: what was done
    :ivar time: seconds by the disk's clock; grows a little at each change
    """

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.time = 1_000_000_000.0
        self._nodes: dict[int, File | Directory] = {TOP: Directory()}

    @classmethod
    def holding(cls, tree: Mapping[str, bytes | None], time: float) -> 'Disk':
        """A disk with files and directories (None), all of them durable."""
        disk = cls()
        for path, data in sorted(tree.items()):
            if data is None:
                disk.make_directory(path)
            else:
                disk._nodes[disk.make_file(path)].data = data
        disk.log.clear()
        disk.time = time
        return disk

    def note(self, fact: Any) -> None:
        self.log.append(Noted(fact))

    def settle(self) -> None:
        """Let the kernel write everything back."""
        self.log.append(Settled())

    def tree(self) -> dict[str, bytes | None]:
        """What holding() takes."""
        return {
            path: node.data if isinstance(node, File) else None
            for path, node in self._walk('', TOP)
        }

    def find(self, path: str, start: int = TOP) -> int:
        """The node that a path leads to.

        :raises FileNotFoundError:
        :raises NotADirectoryError:
        """
        number = start
        for part in path.split('/') if path not in ('', '.') else ():
            found = self._directory(number).names.get(part)
            if found is None:
                raise _error(errno.ENOENT, path)
            number = found
        return number

    def is_directory(self, node: int) -> bool:
        return isinstance(self._nodes[node], Directory)

    def file(self, node: int) -> File:
        found = self._nodes[node]
        if isinstance(found, Directory):
            raise _error(errno.EISDIR, str(node))
        return found

    def names(self, directory: int) -> dict[str, int]:
        return dict(self._directory(directory).names)

    def make_file(self, path: str) -> int:
        """:raises FileExistsError: the name is in use"""
        parent, name = self._free(path)
        number = self._add(File(mtime=self._tick()))
        self._name(parent, name, number)
        return number

    def make_directory(self, path: str) -> int:
        """:raises FileExistsError: the name is in use"""
        parent, name = self._free(path)
        number = self._add(Directory())
        self._name(parent, name, number)
        return number

    def append(self, node: int, data: bytes) -> None:
        file = self.file(node)
        file.data += data
        file.mtime = self._tick()
        self.log.append(Written(node, data))

    def sync(self, node: int) -> None:
        self.log.append(Synced(node))

    def link(self, source: str, target: str) -> None:
        """:raises FileExistsError: the name is in use"""
        number = self.find(source)
        self.file(number)
        self._name(*self._free(target), number)

    def rename(self, source: str, target: str) -> None:
        """Of files only, over whatever file had the name."""
        number = self.find(source)
        self.file(number)
        parent, name = self._parent(target)
        if self._directory(parent).names.get(name) == number:
            return
        self._name(parent, name, number)
        self._name(*self._parent(source), None)

    def unlink(self, path: str) -> None:
        self.file(self.find(path))
        self._name(*self._parent(path), None)

    def remove_directory(self, path: str) -> None:
        if self._directory(self.find(path)).names:
            raise _error(errno.ENOTEMPTY, path)
        self._name(*self._parent(path), None)

    def _walk(
        self, path: str, number: int
    ) -> Iterator[tuple[str, File | Directory]]:
        for name, inner in self._directory(number).names.items():
            below = f'{path}/{name}'.lstrip('/')
            yield below, self._nodes[inner]
            if self.is_directory(inner):
                yield from self._walk(below, inner)

    def _directory(self, number: int) -> Directory:
        found = self._nodes[number]
        if isinstance(found, File):
            raise _error(errno.ENOTDIR, str(number))
        return found

    def _parent(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition('/')
        return self.find(above), name

    def _free(self, path: str) -> tuple[int, str]:
        parent, name = self._parent(path)
        if name in self._directory(parent).names:
            raise _error(errno.EEXIST, path)
        return parent, name

    def _add(self, node: File | Directory) -> int:
        number = len(self._nodes)
        self._nodes[number] = node
        self.log.append(Made(number, isinstance(node, Directory)))
        return number

    def _name(self, directory: int, name: str, number: int | None) -> None:
        names = self._directory(directory).names
        names.pop(name, None)
        if number is not None:
            names[name] = number
        self.log.append(Named(directory, name, number))

    def _tick(self) -> float:
        self.time += 0.001
        return self.time


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
