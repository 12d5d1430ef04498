# SPDX-License-Identifier: Apache-2.0
import os
import random
from unittest import mock

from testtools import content

from ebackup_service.repository import codec
from ebackup_service.repository import refit
from tests import base

LENGTH = 64 * 1024


class FitTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        seed = random.randrange(1 << 32)
        self.addDetail('seed', content.text_content(str(seed)))
        draw = random.Random(seed)
        words = [draw.randbytes(draw.randrange(3, 12)) for _ in range(999)]
        self.text = b''.join(draw.choices(words, k=LENGTH))[:LENGTH]

    def assert_fits(self, plain, length):
        encoding, payload = refit.fit(plain, length)

        self.assertEqual(length, len(payload))
        decoder = codec.Decoder()
        self.assertEqual(
            plain, bytes(decoder.decode(encoding, payload, len(plain)))
        )
        into = memoryview(bytearray(len(plain)))
        decoder.decode(encoding, payload, len(plain), into)
        self.assertEqual(plain, bytes(into))
        return encoding

    def test_whatever_was_stored(self):
        """With other options, by an earlier version, or by a later one."""
        for plain in (self.text, b'ab' * 2048, bytes(99) + b'x'):
            for compression in codec.COMPRESSIONS:
                for level in (-7, -1, 1, 3, 9, 19, 22):
                    encoder = codec.Encoder(compression, level)
                    _, payload = encoder.encode(plain)
                    self.assert_fits(plain, len(payload))

    def test_what_does_not_shrink(self):
        plain = os.urandom(LENGTH)

        self.assertEqual(codec.STORED, self.assert_fits(plain, LENGTH))
        self.assertIsNone(refit.fit(plain, LENGTH - 2000))
        self.assertIsNone(refit.fit(plain, LENGTH + 1))

    def test_any_length_that_is_long_enough(self):
        for length in (200, 5000, LENGTH - 1, LENGTH, 2 * LENGTH):
            plain = (self.text * 2)[:length]
            shortest = len(codec.Encoder('zstd', 22).encode(plain)[1])
            for more in range(18, 40):
                self.assert_fits(plain, min(shortest + more, length))
            self.assertIsNone(refit.fit(plain, shortest // 2))

    def test_what_is_too_long_is_not_made_longer(self):
        calls = mock.Mock()

        self.assertIsNone(refit.fit(self.text, LENGTH // 9, calls))

        self.assertEqual(len(refit._LEVELS), calls.call_count)

    def test_told_to_stop(self):
        stop = mock.Mock(side_effect=[None, KeyError])

        self.assertRaises(KeyError, refit.fit, self.text, LENGTH // 9, stop)

    def test_the_same_again(self):
        for length in (40000, LENGTH // 8 * 7):
            self.assertEqual(
                refit.fit(self.text, length), refit.fit(self.text, length)
            )
