# SPDX-License-Identifier: Apache-2.0
import itertools
import mmap
import os

from ebackup_service.engine import buffers
from tests import base

CHUNK = 65536


class ChunkBufferTest(base.BaseTestCase):
    def test_whole_chunks(self):
        buffer = buffers.ChunkBuffer(CHUNK, 3 * CHUNK + 5)
        self.assertEqual(3, buffer.count)
        self.assertEqual(3 * CHUNK, len(buffer.bytes))
        self.assertEqual([CHUNK] * 3, [len(c) for c in buffer.chunks])

    def test_at_least_one_chunk(self):
        self.assertEqual(1, buffers.ChunkBuffer(CHUNK, 5).count)

    def test_chunks_are_the_bytes(self):
        buffer = buffers.ChunkBuffer(CHUNK, 2 * CHUNK)
        buffer.bytes[CHUNK : CHUNK + 3] = b'abc'
        self.assertEqual(b'abc', bytes(buffer.chunks[1][:3]))

    def test_can_be_used_for_direct_reads(self):
        """Its address is aligned."""
        with open(self.get_temp(), 'wb') as file:
            file.write(b'x' * CHUNK)
        descriptor = os.open(file.name, os.O_RDONLY | os.O_DIRECT)
        self.addCleanup(os.close, descriptor)
        buffer = buffers.ChunkBuffer(CHUNK, 2 * CHUNK)
        self.assertEqual(CHUNK, os.preadv(descriptor, [buffer.chunks[1]], 0))
        self.assertEqual(b'x' * CHUNK, buffer.chunks[1])

    def get_temp(self):
        return self.create_tempfiles([('direct', '')])[0]

    def test_cut(self):
        buffer = buffers.ChunkBuffer(CHUNK, 4 * CHUNK)
        for length, expected in (
            (0, []),
            (1, [1]),
            (CHUNK, [CHUNK]),
            (2 * CHUNK + 3, [CHUNK, CHUNK, 3]),
            (4 * CHUNK, [CHUNK] * 4),
        ):
            self.assertEqual(
                expected, [len(chunk) for chunk in buffer.cut(length)]
            )

    def test_memory_of_others(self):
        buffer = buffers.ChunkBuffer(CHUNK, 4 * CHUNK)
        content = bytes(CHUNK) + b'x' + bytes(3 * CHUNK)
        for start, length, expected in (
            (0, 0, []),
            (0, 3 * CHUNK, [False, True, False]),
            (1, 2 * CHUNK, [True, False]),  # at an odd address
            (0, CHUNK + 1, [False, True]),
            (2, CHUNK + 1, [True, False]),
            (0, 1, [False]),
        ):
            buffer.bytes[:] = b'x' * len(buffer.bytes)
            data = memoryview(content)[start : start + length]
            chunks, flags = buffer.chunks_of(data)
            self.assertEqual(data, b''.join(chunks))
            self.assertEqual(
                [min(CHUNK, length - i) for i in range(0, length, CHUNK)],
                [len(chunk) for chunk in chunks],
            )
            self.assertEqual(expected, flags, (start, length))

    def test_own_memory_is_used_where_it_is(self):
        buffer = buffers.ChunkBuffer(CHUNK, 4 * CHUNK)
        buffer.bytes[CHUNK] = 1
        for length in (2 * CHUNK, 3 * CHUNK - 5):
            chunks, flags = buffer.chunks_of(buffer.bytes[:length])
            self.assertEqual(buffer.cut(length), chunks)
            self.assertIs(buffer.chunks[0], chunks[0])
            self.assertEqual(buffer.not_zero(length), flags)

    def test_zero_test_sees_every_byte(self):
        buffer = buffers.ChunkBuffer(CHUNK, 4 * CHUNK)
        self.assertEqual([False] * 4, buffer.not_zero(4 * CHUNK))
        for position in (0, 7, 8, mmap.PAGESIZE, CHUNK - 1):
            buffer.bytes[CHUNK + position] = 1
            self.assertEqual(
                [False, True, False], buffer.not_zero(3 * CHUNK), position
            )
            buffer.bytes[CHUNK + position] = 0

    def test_zero_test_tells_chunks_apart(self):
        """Also those of which its sample says nothing."""
        buffer = buffers.ChunkBuffer(CHUNK, 4 * CHUNK)
        for places in itertools.product((None, 0, CHUNK - 1), repeat=4):
            buffer.bytes[:] = bytes(4 * CHUNK)
            for number, place in enumerate(places):
                if place is not None:
                    buffer.bytes[number * CHUNK + place] = 1
            self.assertEqual(
                [place is not None for place in places],
                buffer.not_zero(4 * CHUNK),
                places,
            )

    def test_zero_test_sees_nothing_behind_the_end(self):
        buffer = buffers.ChunkBuffer(CHUNK, 2 * CHUNK)
        for length in (1, 7, CHUNK - 1, CHUNK + 1):
            buffer.bytes[:] = b'x' * len(buffer.bytes)
            buffer.bytes[:length] = bytes(length)
            count = -(-length // CHUNK)
            self.assertEqual([False] * count, buffer.not_zero(length))
            buffer.bytes[length - 1] = 1
            self.assertEqual(
                [False] * (count - 1) + [True], buffer.not_zero(length)
            )
