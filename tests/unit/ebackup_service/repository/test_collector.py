# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import collector
from ebackup_service.repository import discard
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import root as image_root
from ebackup_service.repository import walk
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import recording

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


class RunningTestCase(CollectorTestCase):
    def test_session_in_the_middle_keeps_its_packs(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(len(self.data), base.CHUNK, None)
        self.put(self.data, target, session.writer())
        before = self.keys(layout.PACKS)
        self.assertNotEqual(set(), before)

        self.collect(sessions={session.id})
        self.assertEqual(before, self.keys(layout.PACKS))

        self.collect()
        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_candidate_of_a_running_session_stays(self):
        image = self.store(self.data)

        self.collect(sessions={image.session.id})
        image.session.mark_committed(image.id)

        self.assertEqual(self.data, self.restore(image.id))

    def test_candidate_of_an_ended_session_goes(self):
        image = self.store(self.data)

        result = self.collect(sessions={base.new_id()})

        self.assertEqual(1, result.images_removed)
        self.assertEqual({'repository.json'}, self.keys())
        self.assertFalse(os.path.exists(f'{self.path}/images/{image.id}'))

    def test_damaged_candidate_waits_until_nothing_runs(self):
        image = self.store(self.data)
        key = layout.root_key(image.id)
        self.flip(key, 100)

        self.collect(sessions={base.new_id()})
        self.assertIn(key, self.keys())
        self.collect()
        self.assertNotIn(key, self.keys())

    def test_pinned_base_stays_though_it_was_deleted(self):
        first = self.backup(self.data)
        running = self.store(self.changed(7), base=first, generation=2)
        self.repo.delete_image(first.id)
        pin = (first.root.tree, first.root.size, base.CHUNK)

        self.collect(pins=[pin, (None, 5, 4096)],
                     sessions={running.session.id})  # fmt: skip
        running.session.mark_committed(running.id)

        self.assertEqual(running.data, self.restore(running.id))
        source = self.repo.tree(first.root)
        self.assertEqual(first.data, base.restored(self.repo, source))

    def test_session_that_commits_while_it_collects(self):
        """Between the listing of images and the catalog's answer."""
        first = self.backup(self.data)
        running = self.store(self.changed(7), base=first, generation=2)

        def live(ids):
            self.assertEqual(sorted([first.id, running.id]), ids)
            running.session.mark_committed(running.id)
            self.repo.delete_image(first.id)
            return collector.Live(set(), [], set())

        collector.collect(self.repo, live, base.nothing_to_check)

        self.assertEqual(running.data, self.restore(running.id))

    def test_image_that_is_marked_deleted_and_a_base_meanwhile(self):
        """Available only around the catalog's answer, and pinned since."""
        first = self.backup(self.data)
        running = self.store(self.changed(7), base=first, generation=2)
        pinned = []

        def live(ids):
            running.session.mark_committed(running.id)
            self.repo.delete_image(first.id)
            return collector.Live({first.id}, [], set())

        def check():
            if self.repo.is_marked(running.id) and not pinned:
                pinned.append(self.repo.root(running.id))
                self.repo.delete_image(running.id)

        collector.collect(self.repo, live, check)

        source = self.repo.tree(pinned[0])
        self.assertEqual(running.data, base.restored(self.repo, source))

    def test_candidate_that_is_discarded_before_the_catalog_answers(self):
        first = self.backup(self.data)
        running = self.store(self.changed(7), base=first, generation=2)

        def live(ids):
            # Its job has ended, so the catalog calls it dead.
            discard.discard(self.storage, running.session.id, running.id)
            return collector.Live({running.id}, [], set())

        collector.collect(self.repo, live, base.nothing_to_check)

        self.assertEqual(first.data, self.restore(first.id))
        self.assertEqual({first.id}, set(self.repo.images()))

    def test_candidate_that_is_discarded_after_the_catalog_answered(self):
        first = self.backup(self.data)
        running = self.store(self.changed(7), base=first, generation=2)
        answered = []

        def live(ids):
            answered.append(ids)
            return collector.Live(
                set(),
                [(first.root.tree, first.root.size, base.CHUNK)],
                {running.session.id},
            )

        def check():
            if answered:
                discard.discard(self.storage, running.session.id, running.id)

        collector.collect(self.repo, live, check)

        self.assertEqual(first.data, self.restore(first.id))
        self.collect()
        self.assertEqual({first.id}, set(self.repo.images()))

    def test_session_that_writes_its_root_while_it_collects(self):
        first = self.backup(self.data)
        session = self.repo.session(base.new_id(), 2)
        target = session.tree(len(self.data), base.CHUNK, None)
        data = os.urandom(2 * MIB)
        self.put(data, target, session.writer())
        root = image_root.Root(
            image_id=base.new_id(),
            chain=base.CHAIN,
            generation=2,
            size=len(data),
            chunk_size=base.CHUNK,
            tree=target.finish(),
        )

        def live(ids):
            self.assertEqual([first.id], ids)
            session.commit_candidate(root)
            session.mark_committed(root.image_id)
            return collector.Live(set(), [], set())

        collector.collect(self.repo, live, base.nothing_to_check)

        self.assertEqual(data, self.restore(root.image_id))
        self.assertEqual(first.data, self.restore(first.id))

    def test_session_that_starts_while_it_collects(self):
        """All of it after the catalog's answer, one after the other."""
        first = self.backup(self.data)
        self.store(os.urandom(MIB))
        answered = []
        made = []

        def live(ids):
            self.repo.delete_image(first.id)
            answered.append(ids)
            pin = (first.root.tree, first.root.size, base.CHUNK)
            return collector.Live({first.id}, [pin], set())

        def check():
            if answered and len(made) < 10:
                number = len(made)
                made.append(
                    self.backup(
                        self.changed(number),
                        base=made[-1] if made else first,
                        generation=2 + number,
                    )
                )

        result = collector.collect(self.repo, live, check)

        self.assertLess(8, result.packs_removed)
        self.assertEqual(10, len(made))
        for image in made:
            self.assertEqual(image.data, self.restore(image.id))

    def test_images_with_a_tombstone_are_not_asked_about(self):
        """If the catalog thinks that they are available, it pins them."""
        deleted = self.backup(self.data)
        self.storage.create(layout.tombstone_key(deleted.id), [b''])
        pin = (deleted.root.tree, deleted.root.size, base.CHUNK)

        def live(ids):
            self.assertEqual([], ids)
            return collector.Live(set(), [pin], set())

        collector.collect(self.repo, live, base.nothing_to_check)

        source = self.repo.tree(deleted.root)
        self.assertEqual(deleted.data, base.restored(self.repo, source))

    def test_temporary_files_of_ended_sessions_go(self):
        ended, running = base.new_id(), base.new_id()
        for session_id in (ended, running):
            key = f'{layout.session_prefix(session_id)}d-00000001'
            with mock.patch('os.link', side_effect=recording.Crash):
                with mock.patch('os.unlink'):
                    self.assertRaises(
                        recording.Crash,
                        self.storage.create,
                        key,
                        [bytes(MIB)],
                    )
            # File systems' clocks are coarse: what came into being in the
            # same tick in which the collection began is for the next one.
            directory = os.path.join(
                self.path, layout.session_prefix(session_id)
            )
            (name,) = os.listdir(directory)
            os.utime(os.path.join(directory, name), (0, 0))

        result = self.collect(sessions={running})

        self.assertEqual(1, result.temporaries_removed)
        self.assertFalse(
            os.path.exists(
                os.path.join(self.path, layout.session_prefix(ended))
            )
        )
        self.assertEqual(
            1,
            len(
                os.listdir(
                    os.path.join(self.path, layout.session_prefix(running))
                )
            ),
        )


class OwnerTestCase(CollectorTestCase):
    """Another service takes the repository over meanwhile."""

    def setUp(self):
        super().setUp()
        self.dead = self.backup(self.data)
        self.abandoned = self.store(os.urandom(MIB))
        self.before = self.keys()
        self.asked = 0

    def collect(self, check_owner):
        def asked():
            self.asked += 1
            check_owner()

        return collector.collect(
            self.repo,
            lambda ids: collector.Live({self.dead.id}, [], set()),
            base.nothing_to_check,
            asked,
        )

    def refused_at(self, time):
        def check_owner():
            if self.asked == time:
                raise errors.ForeignOwner('taken over')

        self.assertRaises(errors.ForeignOwner, self.collect, check_owner)

    def test_before_anything_is_removed(self):
        self.refused_at(1)

        self.assertEqual(self.before, self.keys())

    def test_before_data_is_removed(self):
        """Of what it removed it has left word to whoever took over."""
        self.refused_at(2)

        self.assertEqual(
            {k for k in self.before if k.startswith(layout.PACKS)},
            self.keys(layout.PACKS),
        )
        self.assertTrue(self.storage.size(layout.tombstone_key(self.dead.id)))

    def test_afterwards_it_may_go_on(self):
        self.collect(lambda: None)

        self.assertEqual(2, self.asked)
        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_session_that_nobody_knows_commits_at_the_last_moment(self):
        def commit():
            if self.asked == 1:
                self.abandoned.session.mark_committed(self.abandoned.id)

        error = self.assertRaises(errors.ForeignOwner, self.collect, commit)

        self.assertIn(self.abandoned.id, str(error))
        self.assertEqual(self.abandoned.data, self.restore(self.abandoned.id))


class DamageTestCase(CollectorTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.backup(self.data)
        self.garbage = self.store(os.urandom(MIB))
        self.garbage_keys = self.keys(
            layout.session_prefix(self.garbage.session.id)
        )

    def refused(self):
        before = self.keys()
        self.assertRaises(errors.Corrupt, self.collect)
        self.assertEqual(before, self.keys())

    def test_damaged_root_stops_it(self):
        self.flip(layout.root_key(self.image.id), 200)
        self.refused()

        # A way out: the operator deletes the image.
        self.repo.delete_image(self.image.id)
        self.collect()
        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_damaged_marker_stops_it(self):
        self.flip(layout.commit_key(self.image.id), 200)
        self.refused()

    def test_missing_root_stops_it(self):
        self.storage.delete(layout.root_key(self.image.id))
        self.refused()

    def test_dead_ones_may_be_damaged(self):
        self.flip(layout.root_key(self.image.id), 200)
        self.collect(dead={self.image.id})

        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_damaged_page_stops_it(self):
        tree = self.repo.tree(self.image.root)
        for where in (tree.where(0, 1), tree.root):
            self.flip(layout.pack_key(where.pack), where.offset + 80)
            self.refused()
            self.flip(layout.pack_key(where.pack), where.offset + 80)
        self.collect()
        self.assertEqual(set(), self.garbage_keys & self.keys())

    def test_missing_data_pack_does_not_stop_it(self):
        where = self.repo.tree(self.image.root).leaf(0).locator(0)
        self.storage.delete(layout.pack_key(where.pack))
        self.collect()

        self.assertEqual(set(), self.garbage_keys & self.keys())

    def test_storage_in_trouble_stops_it(self):
        with mock.patch.object(
            self.storage,
            'read_into',
            side_effect=errors.StorageUnavailable('away'),
        ):
            self.assertRaises(errors.StorageUnavailable, self.collect)
        self.assertEqual(set(), self.garbage_keys - self.keys())

    def test_check_may_stop_it_anywhere(self):
        """And what is left is right, and collected by the next."""

        class Stopped(Exception):
            pass

        allowed = 0
        while True:
            left = [allowed]

            def check(left=left):
                left[0] -= 1
                if left[0] < 0:
                    raise Stopped

            try:
                collector.collect(
                    self.repo,
                    lambda ids: collector.Live(set(), [], set()),
                    check,
                )
                break
            except Stopped:
                allowed += 1
            self.assertEqual(self.data, self.restore(self.image.id))

        self.assertGreater(allowed, 20)
        self.assertEqual(set(), self.garbage_keys & self.keys())
