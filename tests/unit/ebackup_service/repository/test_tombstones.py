# SPDX-License-Identifier: Apache-2.0
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import markers
from ebackup_service.repository import tombstones
from tests.unit.ebackup_service.repository import base


class ExpireTestCase(base.RepositoryTestCase):
    def bury(self, deleted_at, data=None):
        image_id = base.new_id()
        if data is None:
            data = markers.Tombstone(image_id, deleted_at).to_bytes()
        self.storage.create(layout.tombstone_key(image_id), [data])
        return image_id

    def expire(self, present=frozenset()):
        removed = tombstones.expire(
            self.storage,
            present,
            base.nothing_to_check,
            left_out.LeftOut(self.storage),
        )
        left = {
            layout.parse_tombstone(key) for key in self.keys('tombstones/')
        }
        return removed, left

    def test_old_ones_go(self):
        self.bury('2020-01-01T00:00:00Z')

        self.assertEqual((1, set()), self.expire())

    def test_young_ones_stay(self):
        image_id = base.new_id()
        self.repo.delete_image(image_id)

        self.assertEqual((0, {image_id}), self.expire())

    def test_those_of_what_is_still_there_stay(self):
        image_id = self.bury('2020-01-01T00:00:00Z')

        self.assertEqual((0, {image_id}), self.expire({image_id}))

    def test_those_without_a_time_stay(self):
        left = {
            self.bury('', data=b'damaged'),
            self.bury('yesterday'),
            self.bury('2020-01-01T00:00:00'),
        }

        self.assertEqual((0, left), self.expire())

    def test_foreign_names_stay(self):
        self.storage.create('tombstones/readme', [b'x'])

        self.expire()

        self.assertEqual({'tombstones/readme'}, self.keys('tombstones/'))
