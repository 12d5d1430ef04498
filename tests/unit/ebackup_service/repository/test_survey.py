# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import survey
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import unlistable


class SurveyTestCase(base.RepositoryTestCase):
    def survey(self, **kwargs):
        return survey.survey(self.storage, base.nothing_to_check, **kwargs)

    def test_image_that_counts(self):
        image = self.backup(os.urandom(5000), generation=3)

        found = self.survey()[image.id]

        self.assertTrue(found.counts)
        self.assertEqual(image.session.id, found.session_id)
        self.assertEqual(
            (
                ('project', 'volume', base.CHUNK),
                3,
                image.root.tree,
                5000,
                base.CHUNK,
            ),
            found.summary(),
        )

    def test_candidate(self):
        image = self.store(b'x')

        found = self.survey()[image.id]

        self.assertFalse(found.counts)
        self.assertEqual(
            (False, False, image.session.id),
            (found.marked, found.deleted, found.session_id),
        )

    def test_deleted_image_of_which_something_is_left(self):
        image = self.backup(b'x')
        self.storage.create(layout.tombstone_key(image.id), [b''])

        found = self.survey()[image.id]

        self.assertFalse(found.counts)
        self.assertTrue(found.deleted)

    def test_known_images_are_left_out(self):
        one, two = self.backup(b'1'), self.backup(b'2')

        self.assertEqual({two.id}, set(self.survey(known={one.id})))

    def test_images_are_looked_at_again(self):
        image, gone = self.store(b'x'), base.new_id()
        self.repo.delete_image(image.id)

        found = self.survey(again={image.id, gone})

        self.assertTrue(found[image.id].deleted)
        self.assertFalse(found[gone].deleted)
        self.assertFalse(found[gone].counts)

    def test_damaged_root_is_raised_when_it_is_needed(self):
        image = self.backup(b'x')
        self.flip(layout.root_key(image.id), 200)

        found = self.survey()[image.id]

        self.assertTrue(found.counts)
        self.assertIsNone(found.session_id)
        self.assertRaises(errors.Corrupt, found.summary)

    def test_marker_without_root_is_damage(self):
        image = self.backup(b'x')
        self.storage.delete(layout.root_key(image.id))

        found = self.survey()[image.id]

        self.assertTrue(found.counts)
        error = self.assertRaises(errors.Corrupt, found.summary)
        self.assertIn('missing', str(error))

    def test_image_that_is_deleted_meanwhile_is_no_damage(self):
        image = self.backup(b'x')
        real = self.storage.size

        def size(key):
            try:
                return real(key)
            finally:
                if key == layout.tombstone_key(image.id):
                    self.repo.delete_image(image.id)

        with mock.patch.object(self.storage, 'size', size):
            found = self.survey()[image.id]

        self.assertFalse(found.counts)
        self.assertTrue(found.deleted)

    def test_check_may_stop_it(self):
        self.backup(b'x')

        self.assertRaises(
            ZeroDivisionError, survey.survey, self.storage, lambda: 1 // 0
        )

    def test_check_may_stop_its_listings(self):
        """Though nothing of what they find is looked at."""
        image = self.backup(b'x')

        self.assertRaises(
            ZeroDivisionError,
            *(survey.survey, self.storage, lambda: 1 // 0),
            known={image.id},
        )


class RememberedTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.backup(b'x')
        self.found = self.survey()
        # So that it can't be read again.
        self.flip(layout.root_key(self.image.id), 200)

    def survey(self, **kwargs):
        return survey.survey(self.storage, base.nothing_to_check, **kwargs)

    def test_its_root_is_not_read_again(self):
        found = self.survey(remembered=self.found)

        self.assertEqual(self.found, found)

    def test_it_is_looked_at_if_it_has_a_tombstone(self):
        self.storage.create(layout.tombstone_key(self.image.id), [b'x'])

        found = self.survey(remembered=self.found)[self.image.id]

        self.assertTrue(found.deleted)

    def test_it_is_looked_at_if_it_has_no_marker(self):
        self.storage.delete(layout.commit_key(self.image.id))

        found = self.survey(remembered=self.found)[self.image.id]

        self.assertFalse(found.marked)
        self.assertIsInstance(found.found, errors.Corrupt)

    def test_others_are_looked_at(self):
        other = self.backup(b'y')

        found = self.survey(remembered=self.found)

        self.assertTrue(found[other.id].counts)

    def test_it_is_forgotten_when_it_is_gone(self):
        self.repo.delete_image(self.image.id)

        self.assertEqual({}, self.survey(remembered=self.found))


class UnlistableTestCase(base.RepositoryTestCase):
    def survey(self, **kwargs):
        return survey.survey(self.storage, base.nothing_to_check, **kwargs)

    def setUp(self):
        super().setUp()
        self.images = [self.backup(b'x'), self.backup(b'y')]
        self.storage = unlistable.UnlistableStorage(self.storage)
        self.left = left_out.LeftOut(self.storage)

    def spoil(self, path):
        self.storage.bad[path] = 1000

    def test_directory_of_images(self):
        for path in ('images', f'images/{self.images[0].id}'):
            self.storage.bad = {path: 1000}
            error = self.assertRaises(errors.Corrupt, self.survey)
            self.assertEqual(path, error.name)

        self.assertEqual({self.images[1].id}, {*self.survey(left=self.left)})
        self.assertIn(path, self.left.problems[0])

    def test_tombstone_of_which_nobody_knows(self):
        key = layout.tombstone_key(self.images[0].id)
        self.spoil(key)

        error = self.assertRaises(errors.Corrupt, self.survey)
        self.assertEqual(key, error.name)
        self.assertEqual(
            [True, True],
            [image.counts for image in self.survey(left=self.left).values()],
        )
        self.assertIn(key, self.left.problems[0])

    def test_tombstones_beside_images_that_are_remembered(self):
        remembered = self.survey()
        self.repo.delete_image(base.new_id())
        self.spoil('tombstones')

        error = self.assertRaises(
            errors.Corrupt, self.survey, remembered=remembered
        )
        self.assertEqual('tombstones', error.name)

    def test_root_of_which_only_the_name_is_known(self):
        self.spoil(layout.root_key(self.images[0].id))

        found = self.survey()

        self.assertEqual(2, len(found))
        self.assertRaises(errors.Corrupt, found[self.images[0].id].summary)
