# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from ebackup_service.production import errors
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_reads
from tests import base

MIB = 1 << 20
CONTENT = bytes(range(1, 256)) * (10 * MIB // 255)


class Image:
    """Answers at once what it has, less where it ends."""

    def __init__(self):
        self.requests = []

    def aio_read(self, offset, length, end, fadvise_flags):
        self.requests.append((offset, length))
        data = CONTENT[offset : offset + length]
        end(mock.Mock(get_return_value=lambda: len(data)), data)


class ReadsTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.image = Image()
        self.reads = rbd_reads.Reads(rbd_calls.Calls(lambda: None), self.image)

    def read(self, offset, length):
        return bytes(self.reads.read(offset, memoryview(bytearray(length))))

    def test_pieces_of_a_read_are_requested_together(self):
        self.assertEqual(CONTENT[5 : 5 + 9 * MIB], self.read(5, 9 * MIB))
        self.assertEqual(
            [(5, 4 * MIB), (5 + 4 * MIB, 4 * MIB), (5 + 8 * MIB, MIB)],
            self.image.requests,
        )

    def test_one_piece_is_not_copied(self):
        buffer = memoryview(bytearray(9 * MIB))
        found = self.reads.read(5, buffer[: 4 * MIB])
        self.assertEqual(CONTENT[5 : 5 + 4 * MIB], found)
        self.assertTrue(found.readonly)
        self.assertEqual(bytes(9 * MIB), buffer)
        self.assertIs(buffer, self.reads.read(5, buffer))
        self.assertEqual(CONTENT[5 : 5 + 9 * MIB], buffer)

    def test_into_a_buffer(self):
        for length in (4 * MIB, 9 * MIB):
            buffer = memoryview(bytearray(length))
            self.reads.read_into(5, buffer)
            self.assertEqual(CONTENT[5 : 5 + length], buffer)

    def test_what_is_expected_is_requested_once(self):
        self.reads.expect(0, 10)
        self.reads.expect(10, 10)
        self.assertEqual([(0, 10), (10, 10)], self.image.requests)
        self.assertEqual(CONTENT[10:20], self.read(10, 10))
        self.assertEqual(CONTENT[:10], self.read(0, 10))
        self.assertEqual(2, len(self.image.requests))

    def test_read_that_differs_from_what_is_expected(self):
        self.reads.expect(0, 10)
        self.assertEqual(CONTENT[:9], self.read(0, 9))
        self.assertEqual([(0, 10), (0, 9)], self.image.requests)

    def test_what_was_read_is_requested_again(self):
        """It may be another by then."""
        self.reads.expect(0, 10)
        self.read(0, 10)
        self.read(0, 10)
        self.assertEqual([(0, 10)] * 2, self.image.requests)

    def test_what_is_forgotten_is_requested_again(self):
        self.reads.expect(0, 10)
        self.reads.forget()
        self.read(0, 10)
        self.assertEqual([(0, 10)] * 2, self.image.requests)

    def test_image_that_ends(self):
        error = self.assertRaises(
            errors.SizeMismatch, self.read, len(CONTENT) - 5, 2 * MIB
        )
        self.assertIn(str(len(CONTENT)), str(error))
