# SPDX-License-Identifier: Apache-2.0
from ebackup_service.production import errors
from ebackup_service.production import rbd_size
from tests import base

GIB = 1 << 30


class Image:
    def __init__(self, size):
        self.size = lambda: size


class SizeTest(base.BaseTestCase):
    def test_image_of_almost_the_same_size(self):
        for found in 2 * GIB, 2 * GIB + 16 * 1024 * 1024, GIB + 1, 3 * GIB - 1:
            self.assertEqual(
                found, rbd_size.of_volume(Image(found), 'pool/it', 2 * GIB)
            )

    def test_image_that_is_another_one(self):
        for found in 0, GIB, 3 * GIB:
            error = self.assertRaises(
                errors.SizeMismatch,
                *(rbd_size.of_volume, Image(found), 'pool/it', 2 * GIB),
            )
            for text in 'pool/it', str(found), str(2 * GIB):
                self.assertIn(text, str(error))
