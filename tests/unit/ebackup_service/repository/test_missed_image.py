# SPDX-License-Identifier: Apache-2.0
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import missed_image
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import unlistable


class MissedImageTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.backup(b'x')
        self.storage = unlistable.UnlistableStorage(self.storage)
        self.left = left_out.LeftOut(self.storage)

    def problem(self, image_id=None):
        return missed_image.problem(
            self.storage, image_id or self.image.id, self.left
        )

    def test_image_that_is_there(self):
        self.assertIsNone(self.problem())

    def test_image_that_is_gone(self):
        gone = base.new_id()
        self.repo.delete_image(self.image.id)

        for image_id in (gone, self.image.id):
            problem = self.problem(image_id)
            self.assertIn(image_id, problem)
            self.assertIn('gone', problem)

    def test_image_whose_directory_was_not_listed(self):
        """Even if it is found by its name."""
        for path in ('images', f'images/{self.image.id}'):
            self.left = left_out.LeftOut(self.storage)
            self.left.add(errors.Corrupt('directory', path, 'bad'))

            problem = self.problem()

            self.assertIn(self.image.id, problem)
            self.assertIn(f'{path} can not be read', problem)

    def test_image_of_which_nothing_can_be_told(self):
        self.storage.bad[layout.commit_key(self.image.id)] = 2

        self.assertIn(f'(image {self.image.id})', self.problem())

    def test_storage_that_is_away(self):
        self.storage.bad[layout.commit_key(self.image.id)] = 2
        self.storage.away = True

        self.assertRaises(errors.StorageUnavailable, self.problem)
