# SPDX-License-Identifier: Apache-2.0
"""Sessions that run, begin or end while a collection does."""

import os
from unittest import mock

from ebackup_service.repository import collector
from ebackup_service.repository import discard
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import recording
from tests.unit.ebackup_service.repository import test_collector


class RunningTestCase(test_collector.CollectorTestCase):
    def test_session_in_the_middle_keeps_its_packs(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(len(self.data), base.CHUNK, None)
        self.put(self.data, target, session.writer())
        session.close()
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
            return liveness.Live(set(), [], set())

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
            return liveness.Live({first.id}, [], set())

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
            return liveness.Live({running.id}, [], set())

        collector.collect(self.repo, live, base.nothing_to_check)

        self.assertEqual(first.data, self.restore(first.id))
        self.assertEqual({first.id}, set(self.repo.images()))

    def test_candidate_that_is_discarded_after_the_catalog_answered(self):
        first = self.backup(self.data)
        running = self.store(self.changed(7), base=first, generation=2)
        answered = []

        def live(ids):
            answered.append(ids)
            return liveness.Live(
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
        data = os.urandom(2 * test_collector.MIB)
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
            return liveness.Live(set(), [], set())

        collector.collect(self.repo, live, base.nothing_to_check)

        self.assertEqual(data, self.restore(root.image_id))
        self.assertEqual(first.data, self.restore(first.id))

    def test_session_that_starts_while_it_collects(self):
        """All of it after the catalog's answer, one after the other."""
        first = self.backup(self.data)
        self.store(os.urandom(test_collector.MIB))
        answered = []
        made = []

        def live(ids):
            self.repo.delete_image(first.id)
            answered.append(ids)
            pin = (first.root.tree, first.root.size, base.CHUNK)
            return liveness.Live({first.id}, [pin], set())

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
            return liveness.Live(set(), [pin], set())

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
                        [bytes(test_collector.MIB)],
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
