# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.repository import discard
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from tests.unit.ebackup_service.repository import base

MIB = 1024 * 1024


class DiscardTestCase(base.RepositoryTestCase):
    def discard(self, image):
        discard.discard(self.storage, image.session.id, image.id)

    def test_nothing_stays_but_a_tombstone(self):
        image = self.store(os.urandom(MIB))
        self.discard(image)

        self.assertEqual(
            {'repository.json', layout.tombstone_key(image.id)}, self.keys()
        )
        self.discard(image)

    def test_marker_that_comes_late_does_not_count(self):
        image = self.store(os.urandom(MIB))
        marker = self.marker(image)
        self.discard(image)
        self.storage.create(layout.commit_key(image.id), [marker])

        self.assertFalse(self.repo.is_marked(image.id))
        self.collect()

        self.assertEqual(set(), self.keys(layout.IMAGES))

    def test_repository_that_is_taken_over_keeps_the_packs(self):
        """Of the rest there is word for whoever has it now."""
        image = self.store(os.urandom(MIB))
        packs = self.keys(layout.PACKS)

        def check_owner():
            self.assertIn(layout.tombstone_key(image.id), self.keys())
            raise errors.ForeignOwner('taken over')

        self.assertRaises(
            errors.ForeignOwner,
            discard.discard,
            self.storage,
            image.session.id,
            image.id,
            check_owner,
        )
        self.assertEqual(packs, self.keys(layout.PACKS))

    def marker(self, image):
        """What a run that was given up is just about to write."""
        image.session.mark_committed(image.id)
        key = layout.commit_key(image.id)
        data = self.storage.read(key)
        self.storage.delete(key)
        return data

    def test_session_that_came_to_no_root(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(MIB, base.CHUNK, None)
        self.put(os.urandom(MIB), target, session.writer())
        session.close()
        self.assertNotEqual(set(), self.keys(layout.PACKS))

        discard.discard(self.storage, session.id, base.new_id())

        self.assertEqual({'repository.json'}, self.keys())

    def test_all_runs_of_a_session(self):
        session_id = base.new_id()
        for _ in range(2):
            chunks = self.repo.session(session_id, 1).writer()
            chunks.add(bytes(32), b'x')
            chunks.flush()

        discard.discard(self.storage, session_id, base.new_id())

        self.assertEqual({'repository.json'}, self.keys())

    def test_committed_image_stays(self):
        image = self.backup(os.urandom(MIB))
        self.discard(image)

        self.assertEqual(image.data, self.restore(image.id))

    def test_image_with_a_damaged_marker_stays(self):
        image = self.backup(os.urandom(MIB))
        self.flip(layout.commit_key(image.id), 200)
        before = self.keys()

        self.assertRaises(errors.Corrupt, self.discard, image)
        self.assertEqual(before, self.keys())

    def test_others_keep_theirs(self):
        first = self.backup(os.urandom(MIB))
        second = self.store(first.data + b'x', base=first, generation=2)
        self.discard(second)

        self.assertEqual(first.data, self.restore(first.id))

    def test_root_of_another_session_stays(self):
        image = self.store(os.urandom(MIB))
        other = base.new_id()

        discard.discard(self.storage, other, image.id)

        self.assertEqual(image.data, self.restore(image.id))

    def test_foreign_files_stay(self):
        image = self.store(os.urandom(MIB))
        key = f'{layout.session_prefix(image.session.id)}notes'
        with open(os.path.join(self.path, key), 'w') as file:
            file.write('mine')

        self.discard(image)

        self.assertEqual(
            {key, 'repository.json', layout.tombstone_key(image.id)},
            self.keys(),
        )
