# SPDX-License-Identifier: Apache-2.0
"""What is backed up: made once, kept in the benchmarks' directory.

``real``: an ext4 file system with programs and documents in it.
``random``: bytes that can't be compressed.
Each has a second version in which 1 % of the volume is different.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess

# What [repository] chunk_size is by default. To import that takes a tenth of a
# second, which would count as the engine's.
CHUNK = 131072
MIB = 1 << 20
# Part of an ext4 image that is filled; 2.5 GB of 4 GiB.
FILLED = 0.58
CHANGED = 0.01
KINDS = ('real', 'random')


class Volume:
    """Paths of one kind of volume; made by prepare()."""

    def __init__(self, directory: pathlib.Path, kind: str, size: int) -> None:
        self.kind = kind
        # Random bytes show the same in a quarter of the size.
        self.size = size if kind == 'real' else size // 4
        name = f'{kind}-{self.size // MIB}'
        self.path = directory / f'{name}.raw'
        self.changed_path = directory / f'{name}-changed.raw'
        self.changed_chunks = directory / f'{name}-changed.json'

    def prepare(self) -> None:
        """Make what is not there yet."""
        if not self.path.exists():
            print(f'making {self.path}', flush=True)
            temporary = self.path.with_suffix('.new')
            if self.kind == 'real':
                _make_file_system(temporary, self.size)
            else:
                _make_random(temporary, self.size)
            temporary.rename(self.path)
        if not self.changed_chunks.exists():
            print(f'making {self.changed_path}', flush=True)
            subprocess.run(
                ['cp', '--sparse=always', self.path, self.changed_path],
                check=True,
            )
            changed = _change(self.changed_path, self.size)
            self.changed_chunks.write_text(json.dumps(changed))

    def copy_changes(self, source: pathlib.Path, target: pathlib.Path) -> None:
        """The chunks that differ, of either version, into another file."""
        with source.open('rb') as old, target.open('r+b') as new:
            for number in json.loads(self.changed_chunks.read_text()):
                old.seek(number * CHUNK)
                new.seek(number * CHUNK)
                new.write(old.read(CHUNK))


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """What is data in a file, into one that reads as zeros."""
    with source.open('rb') as old, target.open('r+b') as new:
        for start, end in extents(old.fileno(), source.stat().st_size):
            for offset in range(start, end, MIB):
                old.seek(offset)
                new.seek(offset)
                new.write(old.read(min(MIB, end - offset)))


def extents(descriptor: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of the allocated ranges, widened to whole chunks."""
    found: list[tuple[int, int]] = []
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        end = min(-(-end // CHUNK) * CHUNK, size)
        found.append((start // CHUNK * CHUNK, end))
    return found


def _make_file_system(path: pathlib.Path, size: int) -> None:
    staging = path.with_suffix('.files')
    shutil.rmtree(staging, ignore_errors=True)
    _copy_some('/usr', staging, int(size * FILLED))
    with path.open('wb') as file:
        file.truncate(size)
    subprocess.run(
        ['mkfs.ext4', '-q', '-F', '-E', 'root_owner', '-d', staging, path],
        check=True,
    )
    shutil.rmtree(staging)


def _copy_some(source: str, target: pathlib.Path, budget: int) -> None:
    """Regular files in the order of their names, until there is enough."""
    for directory, names, files in os.walk(source):
        names.sort()
        made = target / os.path.relpath(directory, source)
        for name in sorted(files):
            path = os.path.join(directory, name)
            if os.path.islink(path) or not os.access(path, os.R_OK):
                continue
            budget -= os.path.getsize(path)
            if budget < 0:
                return
            made.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, made / name)


def _make_random(path: pathlib.Path, size: int) -> None:
    with path.open('wb') as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def _change(path: pathlib.Path, size: int) -> list[int]:
    """Replace 1 MiB here and there by what is elsewhere in the volume.

    :returns: numbers of the chunks that differ now
    """
    changed: list[int] = []
    choose = random.Random(1)
    with path.open('r+b') as file:
        places = [
            place
            for start, end in extents(file.fileno(), size)
            for place in range(-(-start // MIB) * MIB, end - MIB + 1, MIB)
        ]
        for place in choose.sample(places, round(size * CHANGED / MIB)):
            file.seek(choose.choice(places))
            content = bytearray(file.read(MIB))
            for start in range(0, MIB, CHUNK):
                # So that no chunk is what it was, or zeros.
                content[start : start + 8] = choose.randbytes(8)
                changed.append((place + start) // CHUNK)
            file.seek(place)
            file.write(content)
        os.fsync(file.fileno())
    return sorted(changed)
