# SPDX-License-Identifier: Apache-2.0
"""What the same bytes cost without an engine: the kernels alone.

A thread for each core calls nothing but the functions that nobody can do
without: read, zero test, BLAKE3, zstd, and for a restore read,
decompress, BLAKE3, write. The CPU seconds between the calls are not counted.

    python -m tests.benchmarks.kernels backup PATH [CHUNKS.json]
    python -m tests.benchmarks.kernels restore PATH SCRATCH

PATH is a volume; of a backup, CHUNKS.json names the chunks to be compressed
(none if it is '-', all by default). SCRATCH is a directory for what a restore
reads and writes. Prints a JSON object: kernel -> CPU seconds.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import json
import mmap
import os
import pathlib
import sys
import threading
import time

import blake3
import numpy as np
import zstandard

from ebackup_service.engine import crew
from ebackup_service.repository import codec
from tests.benchmarks import data

READ = 4 << 20
KEY = bytes(range(32))

Spent = dict[str, float]


class Clock:
    """CPU seconds of this thread since the last look."""

    def __init__(self) -> None:
        self.spent: Spent = collections.defaultdict(float)
        self._last = time.thread_time()

    def charge(self, kernel: str | None) -> None:
        """To a kernel; None: to nobody."""
        now = time.thread_time()
        if kernel is not None:
            self.spent[kernel] += now - self._last
        self._last = now


def run(workers: int, work: Callable[[Clock], None]) -> dict[str, float]:
    """work(clock) in several threads; sums of what the clocks show."""
    total: Spent = collections.defaultdict(float)
    lock = threading.Lock()

    def one() -> None:
        clock = Clock()
        work(clock)
        with lock:
            for kernel, seconds in clock.spent.items():
                total[kernel] += seconds

    threads = [threading.Thread(target=one) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(total)


def windows(
    descriptor: int, size: int
) -> 'collections.deque[tuple[int, int]]':
    return collections.deque(
        (start, min(READ, end - start))
        for begin, end in data.extents(descriptor, size)
        for start in range(begin, end, READ)
    )


def take(
    queue: 'collections.deque[tuple[int, int]]',
) -> tuple[int, int] | None:
    try:
        return queue.popleft()
    except IndexError:
        return None


def buffer() -> memoryview:
    return memoryview(
        mmap.mmap(-1, READ, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    )


def hashed(chunks: Sequence[bytes | memoryview]) -> None:
    for chunk in chunks:
        blake3.blake3(chunk, key=KEY).digest()


def back_up(
    path: str, wanted: set[int] | None, workers: int
) -> dict[str, float]:
    """:param wanted: numbers of chunks to compress; None: all"""
    descriptor = os.open(path, os.O_RDONLY)
    queue = windows(descriptor, os.fstat(descriptor).st_size)

    def work(clock: Clock) -> None:
        memory = buffer()
        words = np.frombuffer(memory, np.uint64)
        compress = zstandard.ZstdCompressor(level=codec.DEFAULT_LEVEL).compress
        clock.charge(None)
        while (window := take(queue)) is not None:
            start, length = window
            clock.charge(None)
            os.preadv(descriptor, [memory[:length]], start)
            clock.charge('read')
            found = np.bitwise_or.reduce(
                words[: length // 8].reshape(-1, data.CHUNK // 8), axis=1
            )
            clock.charge('zero test')
            numbers = np.flatnonzero(found).tolist()
            chunks = [
                memory[n * data.CHUNK : (n + 1) * data.CHUNK] for n in numbers
            ]
            clock.charge(None)
            hashed(chunks)
            clock.charge('blake3')
            if wanted is not None:
                first = start // data.CHUNK
                chunks = [
                    chunk
                    for n, chunk in zip(numbers, chunks, strict=True)
                    if first + n in wanted
                ]
                clock.charge(None)
            for chunk in chunks:
                compress(chunk)
            clock.charge('zstd')

    return run(workers, work)


def restore(
    path: str, scratch: pathlib.Path, workers: int
) -> dict[str, float]:
    stored = scratch / 'kernels.stored'
    target = scratch / 'kernels.restored'
    try:
        batches = _store(path, stored)
        size = os.path.getsize(path)
        with target.open('wb') as file:
            file.truncate(size)
        return _restore(batches, stored, target, workers)
    finally:
        stored.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


# Of one window: its offset; where its records are; their lengths.
Batch = tuple[int, int, list[tuple[int, bool]]]


def _store(path: str, stored: pathlib.Path) -> 'collections.deque[Batch]':
    """Compress everything into one file; not measured."""
    batches: collections.deque[Batch] = collections.deque()
    compress = zstandard.ZstdCompressor(level=codec.DEFAULT_LEVEL).compress
    with open(path, 'rb', buffering=0) as source, stored.open('wb') as out:
        queue = windows(source.fileno(), os.path.getsize(path))
        while (window := take(queue)) is not None:
            start, length = window
            content = os.pread(source.fileno(), length, start)
            position = out.tell()
            records = []
            for begin in range(0, length, data.CHUNK):
                plain = content[begin : begin + data.CHUNK]
                if not plain.strip(b'\0'):
                    continue
                payload = compress(plain)
                packed = len(payload) <= codec.WORTH_IT * len(plain)
                payload = payload if packed else plain
                out.write(payload)
                records.append((len(payload), packed))
            batches.append((start, position, records))
    return batches


def _restore(
    batches: 'collections.deque[Batch]',
    stored: pathlib.Path,
    target: pathlib.Path,
    workers: int,
) -> dict[str, float]:
    source = os.open(stored, os.O_RDONLY)
    out = os.open(target, os.O_RDWR | os.O_DIRECT)

    def work(clock: Clock) -> None:
        fetched, written = buffer(), buffer()
        decompress = zstandard.ZstdDecompressor().decompress
        clock.charge(None)
        while True:
            try:
                start, position, records = batches.popleft()
            except IndexError:
                break
            total = sum(length for length, _ in records)
            clock.charge(None)
            os.preadv(source, [fetched[:total]], position)
            clock.charge('read')
            plains = []
            begin = 0
            for length, packed in records:
                piece = fetched[begin : begin + length]
                plains.append(decompress(piece) if packed else piece)
                begin += length
            clock.charge('zstd')
            hashed(plains)
            clock.charge('blake3')
            if plains:
                size = len(plains) * data.CHUNK
                os.pwritev(out, [written[:size]], start)
                clock.charge('write')

    spent = run(workers, work)
    os.close(source)
    os.close(out)
    return spent


def main(arguments: list[str]) -> None:
    workers = crew.cores()
    verb, path, *more = arguments
    if verb == 'restore':
        spent = restore(path, pathlib.Path(more[0]), workers)
    else:
        wanted: set[int] | None = None
        if more:
            wanted = (
                set()
                if more[0] == '-'
                else set(json.loads(pathlib.Path(more[0]).read_text()))
            )
        spent = back_up(path, wanted, workers)
    print(json.dumps(spent))


if __name__ == '__main__':
    main(sys.argv[1:])
