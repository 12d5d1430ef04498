# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import collector
from ebackup_service.repository import layout
from ebackup_service.repository import root as image_root
from ebackup_service.repository import walk
from tests.unit.ebackup_service.repository import base

MIB = 1024 * 1024


class CollectorTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.data = os.urandom(2 * MIB)

    def changed(self, number):
        """The volume's bytes with one chunk changed."""
        data = bytearray(self.data)
        data[number * base.CHUNK] ^= 1
        return bytes(data)

    def size_on_disk(self):
        total = 0
        for top, _, names in os.walk(self.path):
            for name in ('.', *names):
                total += os.stat(os.path.join(top, name)).st_blocks * 512
        return total


class DeadTestCase(CollectorTestCase):
    def test_nothing_is_removed_that_is_needed(self):
        first = self.backup(self.data)
        second = self.backup(self.changed(5), base=first, generation=2)
        before = self.keys()

        result = self.collect()

        self.assertEqual(collector.CollectResult(0, 0, 0), result)
        self.assertEqual(before, self.keys())
        for image in (first, second):
            self.assertEqual(image.data, self.restore(image.id))

    def test_any_image_may_go_and_the_others_stay(self):
        for gone in range(3):
            images = [self.backup(self.data)]
            for number in (1, 2):
                images.append(
                    self.backup(
                        self.changed(number),
                        base=images[-1],
                        generation=number + 1,
                    )
                )
            self.repo.delete_image(images.pop(gone).id)

            self.collect()

            for image in images:
                self.assertEqual(image.data, self.restore(image.id))
                self.repo.delete_image(image.id)
            self.collect()
            self.assertEqual(set(), self.keys(layout.PACKS))

    def test_everything_comes_back(self):
        empty = self.size_on_disk()
        image = None
        ids = []
        for generation in range(1, 21):
            image = self.backup(
                self.changed(generation), base=image, generation=generation
            )
            ids.append(image.id)
        for image_id in ids:
            self.repo.delete_image(image_id)

        result = self.collect()

        self.assertLess(self.size_on_disk() - empty, MIB)
        self.assertGreater(result.bytes_removed, 2 * MIB)
        self.assertEqual(set(), self.keys(layout.PACKS))
        self.assertEqual(set(), self.keys(layout.IMAGES))

    def test_image_that_the_catalog_calls_dead_goes(self):
        image = self.backup(self.data)

        result = self.collect(dead={image.id})

        self.assertEqual(1, result.images_removed)
        self.assertEqual(set(), self.keys(layout.PACKS))
        # So that it stays dead even if deletions are undone.
        self.assertIn(layout.tombstone_key(image.id), self.keys())

    def test_image_that_the_catalog_does_not_know_stays(self):
        image = self.backup(self.data)
        self.collect(dead={base.new_id()})

        self.assertEqual(image.data, self.restore(image.id))

    def test_what_a_power_loss_brings_back_goes_again(self):
        image = self.backup(self.data)
        kept = {
            key: self.storage.read(key) for key in self.keys(layout.IMAGES)
        }
        self.repo.delete_image(image.id)
        self.collect()
        for key, data in kept.items():
            self.storage.create(key, [data])

        result = self.collect()

        self.assertEqual(1, result.images_removed)
        self.assertEqual(set(), self.keys(layout.IMAGES))

    def test_tombstones_end(self):
        image = self.backup(self.data)
        self.repo.delete_image(image.id)
        with mock.patch(
            'ebackup_service.repository.tombstones.RETENTION',
            -collector.tombstones.RETENTION,
        ):
            self.assertEqual(0, self.collect().tombstones_removed)
            result = self.collect(whole=True)

        self.assertEqual(1, result.tombstones_removed)
        self.assertEqual(set(), self.keys('tombstones/'))

    def test_foreign_objects_stay(self):
        foreign = {
            'packs/readme',
            f'packs/aa/{base.new_id()}/d-00000001',
            f'packs/{"0" * 2}/{base.new_id()}/d-1',
            f'images/{base.new_id()}/other',
        }
        for key in foreign:
            self.storage.create(key, [b'x'])
        self.collect()

        self.assertEqual(
            set(), {k for k in foreign if 'aa/' not in k} - self.keys()
        )

    def test_chains_do_not_disturb_each_other(self):
        images = [
            self.backup(
                os.urandom(MIB), chain=image_root.Chain(project, volume)
            )
            for project in 'ab'
            for volume in 'cd'
        ]
        self.repo.delete_image(images[1].id)
        self.collect()

        del images[1]
        for image in images:
            self.assertEqual(image.data, self.restore(image.id))

    def test_marking_reads_what_changed(self):
        image = self.backup(os.urandom(20 * MIB))
        data = bytearray(image.data)
        for generation in range(2, 8):
            data[generation * MIB] ^= 1
            image = self.backup(bytes(data), base=image, generation=generation)
        visited = []
        real = walk.Walker.located

        def located(walker, new, old):
            for page_id, page in real(walker, new, old):
                visited.append((new.root, page.level, page.index))
                yield page_id, page

        with mock.patch.object(walk.Walker, 'located', located):
            self.collect()

            # All of the first, then a leaf and the top of each other.
            self.assertEqual(21 + 6 * 2, len(visited))
            visited.clear()
            self.collect()
            self.assertEqual([], visited)
