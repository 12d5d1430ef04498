# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock


from ebackup_service.repository import collector
from ebackup_service.repository import compacted_pack
from ebackup_service.repository import compaction
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import aftermath
from tests.unit.ebackup_service.repository import base

CHUNKS = 100


class CompactionTestCase(base.RepositoryTestCase):
    """Two images; of each pack of the first one the second has a fifth."""

    def setUp(self):
        super().setUp()
        self.first = self.backup(os.urandom(CHUNKS * base.CHUNK))
        self.second = self.overwrite(self.first, 2)

    def overwrite(self, image, generation, kept=5, **kwargs):
        """Back up, with each chunk changed but for one in some."""
        data = bytearray(os.urandom(len(image.data)))
        for begin in range(0, len(data), kept * base.CHUNK):
            end = begin + base.CHUNK
            data[begin:end] = image.data[begin:end]
        return self.backup(
            bytes(data), base=image, generation=generation, **kwargs
        )

    def data_packs(self, image):
        """Keys of the data packs that the session of an image has made."""
        prefix = layout.session_prefix(image.session.id)
        return sorted(k for k in self.keys(prefix) if '/d-' in k)

    def compacted(self):
        """What compaction has left, by the keys of packs."""
        found = {}
        for key in sorted(self.keys(layout.COMPACTED)):
            pack_key = layout.pack_key(layout.parse_compacted(key))
            found.setdefault(pack_key, []).append(key)
        return found

    def used(self):
        return sum(info.size for info in self.storage.list(''))

    def limited(self, share=0.5, copied=2**40, pace=lambda count: None):
        return self.collect(
            whole=True, limits=compaction.Limits(share, copied, pace)
        )

    def assert_restores(self, *images):
        for image in images:
            self.assertEqual(image.data, self.restore(image.id))
        report = self.check()
        self.assertEqual([], report.problems)
        self.assertEqual(len(images), report.images)


class ChoiceTestCase(CompactionTestCase):
    def test_nothing_is_garbage(self):
        before = self.keys()

        result = self.compact()

        self.assertEqual(collector.CollectResult(0, 0, 0), result)
        self.assertEqual(before, self.keys())

    def test_packs_that_are_mostly_garbage(self):
        packs = self.data_packs(self.first)
        self.repo.delete_image(self.first.id)

        result = self.compact()

        self.assertEqual(packs, sorted(self.compacted()))
        self.assertEqual([], self.data_packs(self.first))
        self.assertEqual(len(packs), result.packs_compacted)
        self.assertLess(0.7 * CHUNKS * base.CHUNK, result.bytes_compacted)
        self.assert_restores(self.second)

    def test_bytes_that_it_frees(self):
        self.repo.delete_image(self.first.id)
        self.collect(whole=True)
        before = self.used()

        result = self.compact()

        self.assertEqual(before - self.used(), result.bytes_compacted)

    def test_once_is_enough(self):
        self.repo.delete_image(self.first.id)
        self.compact()
        before = self.keys()

        self.assertEqual(collector.CollectResult(0, 0, 0), self.compact())
        self.assertEqual(collector.CollectResult(0, 0, 0), self.collect())
        self.assertEqual(before, self.keys())

    def test_collection_that_looks_at_what_has_changed_compacts_nothing(self):
        self.repo.delete_image(self.first.id)

        self.collect(limits=base.COMPACT)

        self.assertEqual({}, self.compacted())

    def test_share(self):
        self.repo.delete_image(self.first.id)

        self.limited(share=0.05)
        self.assertEqual({}, self.compacted())
        self.limited(share=0.3)
        self.assertNotEqual({}, self.compacted())
        self.assert_restores(self.second)

    def test_bytes_that_are_copied(self):
        """The packs come first that give back most; the others next time."""
        packs = self.data_packs(self.first)
        self.repo.delete_image(self.first.id)
        read = []

        self.limited(copied=8 * base.CHUNK, pace=read.append)

        self.assertIn(len(self.compacted()), (1, 2))
        self.assertLess(sum(read), 9 * base.CHUNK)
        while len(self.compacted()) < len(packs):
            before = len(self.compacted())
            self.limited(copied=8 * base.CHUNK)
            self.assertLess(before, len(self.compacted()))
        self.assert_restores(self.second)

    def test_one_pack_at_a_time(self):
        """Whatever is looked at together, the same comes out."""
        packs = self.data_packs(self.first)
        self.repo.delete_image(self.first.id)
        with mock.patch.object(compaction, '_RECORDS', 1):
            result = self.compact()

        self.assertEqual(len(packs), result.packs_compacted)
        self.assert_restores(self.second)

    def test_several_chains(self):
        other = image_root.Chain('project', 'other')
        third = self.backup(os.urandom(CHUNKS * base.CHUNK), chain=other)
        fourth = self.overwrite(third, 2, chain=other)
        packs = self.data_packs(self.first) + self.data_packs(third)
        for image in (self.first, third):
            self.repo.delete_image(image.id)

        self.compact()

        self.assertEqual(sorted(packs), sorted(self.compacted()))
        self.assert_restores(self.second, fourth)

    def test_packs_larger_than_ours_are_left_alone(self):
        self.repo.delete_image(self.first.id)
        with mock.patch.object(compaction.pack, 'DEFAULT_SIZE', 1000):
            self.compact()

        self.assertNotIn(layout.COMPACTED, ''.join(self.keys()))

    def test_image_that_is_not_the_newest_of_its_history(self):
        """The estimate errs; what is needed is found out."""
        third = self.backup(self.first.data, base=self.first, generation=3)
        self.repo.delete_image(self.first.id)

        self.assertEqual(0, self.compact().packs_compacted)
        self.assert_restores(self.second, third)

    def test_compacted_again(self):
        self.repo.delete_image(self.first.id)
        self.compact()
        third = self.overwrite(self.second, 3, kept=25)
        self.repo.delete_image(self.second.id)

        self.compact()

        numbers = {
            layout.compacted_name(key)[0]
            for (key,) in self.compacted().values()
        }
        self.assertIn(2, numbers)
        self.assert_restores(third)

    def test_nobody_needs_what_was_compacted(self):
        self.repo.delete_image(self.first.id)
        self.compact()
        self.repo.delete_image(self.second.id)

        result = self.collect()

        self.assertEqual(set(), self.keys(layout.COMPACTED))
        self.assertEqual(set(), self.keys(layout.PACKS))
        self.assertLess(0, result.bytes_removed)


class NeededTestCase(CompactionTestCase):
    def pin(self, image):
        return image.root.tree, image.root.size, base.CHUNK

    def test_pins(self):
        self.repo.delete_image(self.first.id)

        result = self.compact(pins=[self.pin(self.first)])

        self.assertEqual(0, result.packs_compacted)
        source = self.repo.tree(self.first.root)
        self.assertEqual(self.first.data, base.restored(self.repo, source))

    def test_pins_of_which_nothing_else_is_known(self):
        """Records that an image and a pin need, and none besides."""
        third = self.overwrite(self.first, 3, kept=4)
        self.repo.delete_image(self.first.id)
        self.repo.delete_image(third.id)

        result = self.compact(pins=[self.pin(third)])

        self.assertLess(0, result.packs_compacted)
        source = self.repo.tree(third.root)
        self.assertEqual(third.data, base.restored(self.repo, source))
        self.assert_restores(self.second)

    def test_running_sessions(self):
        """They may need more of their packs than anybody knows."""
        self.repo.delete_image(self.first.id)

        result = self.compact(sessions={self.first.session.id})

        self.assertEqual(0, result.packs_compacted)

    def test_packs_that_came_after_the_catalog_was_asked(self):
        """All of what made them and made them sparse came after that."""
        made = []

        def live(ids):
            third = self.overwrite(self.second, 3)
            made.extend([third, self.overwrite(third, 4)])
            self.repo.delete_image(third.id)
            return liveness.Live(set(), [], set())

        collector.collect(
            self.repo,
            live,
            base.nothing_to_check,
            whole=True,
            limits=base.COMPACT,
        )

        third, fourth = made
        self.assertNotEqual([], self.data_packs(third))
        self.assertEqual({}, self.compacted())
        source = self.repo.tree(third.root)
        self.assertEqual(third.data, base.restored(self.repo, source))
        self.assertEqual(fourth.data, self.restore(fourth.id))

    def test_just_what_is_needed_is_left(self):
        third = self.overwrite(self.first, 3, kept=7)
        self.repo.delete_image(self.first.id)
        self.compact()

        needed = aftermath.records(self.repo, self.repo.tree(third.root))
        for address, offsets in aftermath.records(
            self.repo, self.repo.tree(self.second.root)
        ).items():
            needed.setdefault(address, set()).update(offsets)
        for (key,) in self.compacted().values():
            address = layout.parse_compacted(key)
            found = compacted_pack.load(self.repo, address, key)
            self.assertEqual(
                sorted(needed[address]), found.table['offset'].tolist()
            )

    def test_backup_takes_over_what_was_compacted(self):
        self.repo.delete_image(self.first.id)
        self.compact()

        third = self.backup(self.second.data, base=self.second, generation=3)
        self.repo.delete_image(self.second.id)
        self.compact()

        self.assert_restores(third)
