# SPDX-License-Identifier: Apache-2.0
import os
import random
import threading

import fixtures

from tests import base

DATA = random.Random(1).randbytes(10_000)


class TestAssertEqual(base.BaseTestCase):
    def message(self, expected, observed, *args):
        error = self.assertRaises(
            AssertionError, self.assertEqual, expected, observed, *args
        )
        return str(error)

    def changed(self, *places):
        changed = bytearray(DATA)
        for place in places:
            changed[place] ^= 1
        return changed

    def test_takes_what_is_equal(self):
        self.assertEqual(DATA, bytearray(DATA))
        self.assertEqual([DATA], [bytearray(DATA)])

    def test_tells_where_data_differ(self):
        message = self.message(DATA, self.changed(4095, 4096, 4097))

        self.assertIn('10000 bytes where 10000 are expected', message)
        self.assertIn('2 of 3 blocks of 4096 bytes differ', message)
        self.assertIn('from byte 4095 on', message)
        self.assertLess(len(message), 400)

    def test_tells_what_is_missing(self):
        message = self.message(DATA, DATA[:5000], 'restored')

        self.assertIn('restored: 5000 bytes where 10000', message)
        self.assertIn("from byte 5000 on: b''", message)

    def test_shows_no_data_inside_of_others(self):
        message = self.message(
            {'a': [1, (DATA,)]}, {'a': [2, (self.changed(0),)]}
        )

        self.assertIn('10000 bytes with sha256', message)
        self.assertLess(len(message), 500)

    def test_shows_data_that_are_short(self):
        self.assertIn("b'one' != b'two'", self.message(b'one', b'two'))


class TestLeavesNothingOpen(base.BaseTestCase):
    def test_what_is_closed_at_once_or_soon(self):
        descriptors = os.pipe()
        with self.leaves_nothing_open():
            later = os.pipe()
            for descriptor in descriptors:
                os.close(descriptor)
            descriptors = os.pipe()
            for descriptor in later:
                threading.Timer(0.1, os.close, [descriptor]).start()
        for descriptor in descriptors:
            os.close(descriptor)

    def test_what_stays_open(self):
        self.useFixture(fixtures.MockPatch('tests.base._PATIENCE', 0.1))
        descriptor = []

        def leak():
            with self.leaves_nothing_open():
                descriptor.append(os.open('/', os.O_RDONLY))

        error = self.assertRaises(AssertionError, leak)
        self.addCleanup(os.close, *descriptor)
        self.assertIn(f"'{descriptor[0]}'", str(error))
