# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.production import claims
from tests import base


class ShareTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.opened = []

    def open(self):
        descriptor = os.open('/dev/null', os.O_RDONLY)
        self.opened.append(descriptor)
        return descriptor

    def is_open(self, descriptor):
        try:
            os.fstat(descriptor)
        except OSError:
            return False
        return True

    def test_one_descriptor_for_all_readers(self):
        one = claims.share(-7, self.open)
        other = claims.share(-7, self.open)
        self.assertEqual(1, len(self.opened))
        one.release()
        self.assertTrue(self.is_open(self.opened[0]))
        other.release()
        self.assertFalse(self.is_open(self.opened[0]))

    def test_opened_again_after_the_last_reader(self):
        claims.share(-7, self.open).release()
        claims.share(-7, self.open).release()
        self.assertEqual(2, len(self.opened))

    def test_refused_claim_leaves_nothing(self):
        def refuse():
            raise BlockingIOError

        self.assertRaises(BlockingIOError, claims.share, -7, refuse)
        claims.share(-7, self.open).release()
        self.assertEqual(1, len(self.opened))
