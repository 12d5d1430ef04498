# SPDX-License-Identifier: Apache-2.0
import numpy as np

from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import touched
from tests import base

WHERE = location.Locator(
    bytes(range(32)),
    location.PackAddress(bytes(16), location.DATA, 1),
    128,
    100,
    1,
)


class TouchedImagesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        records = damage.DamagedRecords()
        records.add(WHERE, errors.Corrupt('chunk', 'pack at 128', 'broken'))
        # No image has this one.
        records.add(WHERE._replace(offset=4), errors.Corrupt('chunk', '', ''))
        self.touched = touched.TouchedImages(records)

    def add(self, image_id, *slots):
        leaf = page.Leaf(2)
        mask = np.zeros(256, dtype=bool)
        for slot in slots:
            leaf.set(slot, WHERE)
            mask[slot] = True
        self.touched.add(image_id, leaf, mask, 4096)

    def test_sentences(self):
        self.add('one', 0, 3)
        self.add('two', 1)
        start = 512 * 4096

        self.assertEqual(
            [
                'Damaged chunk in pack at 128: broken (image one, bytes from '
                f'{start}; image two, bytes from {start + 4096})'
            ],
            [*self.touched.problems()],
        )

    def test_sentences_are_bounded_and_documents_are_complete(self):
        for number in range(5):
            self.add(f'image-{number}', *range(number, 200))

        [problem] = self.touched.problems()
        self.assertIn('; 2 more images)', problem)
        [chunk] = self.touched.to_json()
        self.assertEqual(
            [f'image-{number}' for number in range(5)],
            [image['image_id'] for image in chunk['images']],
        )
        self.assertTrue(all(len(i['offsets']) == 10 for i in chunk['images']))
        self.assertEqual(
            (128, WHERE.id.hex(), 'broken'),
            (chunk['offset'], chunk['id'], chunk['reason']),
        )

    def test_damage_that_no_image_needs_is_not_told(self):
        self.assertEqual([], [*self.touched.problems()])
        self.assertEqual([], self.touched.to_json())
