# SPDX-License-Identifier: Apache-2.0
"""Memory doesn't depend on the size of a volume, up to 64 TiB."""

import random
import tracemalloc

from tests.unit.ebackup_service.engine import volumes

CHUNK = 128 * 1024
MIB = 1 << 20
SMALL, LARGE = 64 << 30, 64 << 40
# Of what Python allocates, numpy's arrays included; buffers come on top.
MOST = 4 * MIB


class SparseSource(volumes.MemorySource):
    """A chunk of data here and there; nothing of it is in memory."""

    def __init__(self, size, offsets, seed=1, gaps=volumes.HOLE):
        super().__init__(b'', [], gaps)
        self.size = size
        self._offsets = offsets
        self._seed = seed

    def extents(self):
        for offset in self._offsets:
            self._named = [(offset, CHUNK, volumes.DATA)]
            yield from super().extents()

    def read(self, offset, buffer):
        buffer[:] = data(self._seed, offset)[: len(buffer)]
        return buffer

    def expect(self, offset, length):
        pass


class SparseTarget(volumes.MemoryTarget):
    """Compares what is written with what it should be."""

    def __init__(self, size, expected):
        super().__init__(b'', truncated=True)
        self.size = size
        self._expected = expected
        self.right = 0

    def write(self, offset, buffer):
        for begin in range(offset, offset + len(buffer), CHUNK):
            piece = buffer[begin - offset : begin - offset + CHUNK]
            assert piece == data(self._expected[begin], begin), begin
            self.right += 1


def data(seed, offset):
    return random.Random(seed * LARGE + offset).randbytes(256) * (CHUNK // 256)


class LargeTestCase(volumes.EngineTestCase):
    PACK_SIZE = MIB

    def peak(self, call, *args, **kwargs):
        tracemalloc.start()
        try:
            result = call(*args, **kwargs)
            return tracemalloc.get_traced_memory()[1], result
        finally:
            tracemalloc.stop()

    def run_all(self, size):
        """Peaks of a first backup, of an incremental one, and of a restore."""
        choose = random.Random(size)
        places = [n * CHUNK for n in choose.sample(range(size // CHUNK), 400)]
        places.sort()
        changed = places[::10]
        full, (first, _) = self.peak(
            self.back_up, SparseSource(size, places), chunk_size=CHUNK
        )
        source = SparseSource(size, changed, 2, volumes.UNCHANGED)
        incremental, (second, result) = self.peak(
            self.back_up, source, first, chunk_size=CHUNK
        )
        self.assertEqual(len(changed) * CHUNK, result.statistics['bytes_read'])
        expected = dict.fromkeys(places, 1) | dict.fromkeys(changed, 2)
        target = SparseTarget(size, expected)
        restored, _ = self.peak(self.restore, second, target, True)
        self.assertEqual(len(places), target.right)
        return full, incremental, restored

    def test_memory(self):
        small, large = self.run_all(SMALL), self.run_all(LARGE)
        for name, before, after in zip(
            ('full', 'incremental', 'restore'), small, large, strict=True
        ):
            self.assertLess(after, MOST, name)
            self.assertLess(after, before + 2 * MIB, name)
