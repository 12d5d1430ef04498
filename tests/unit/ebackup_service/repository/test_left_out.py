# SPDX-License-Identifier: Apache-2.0
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import unlistable

EVER = 1000


class LeftOutTestCase(base.RepositoryTestCase):
    """Two images; ``bad``: what can't be read, and how often."""

    def setUp(self):
        super().setUp()
        self.images = [self.backup(b'x'), self.backup(b'y')]
        self.all = self.keys('images/')
        self.storage = unlistable.UnlistableStorage(self.storage)
        self.bad = self.storage.bad
        self.directory = f'images/{self.images[0].id}'
        self.left = left_out.LeftOut(self.storage)

    def listed(self):
        return {info.key for info in self.left.list('images/')}

    def whole(self):
        return {info.key for info in left_out.whole(self.storage, 'images/')}

    def sentence(self, path, done='read', what='directory'):
        return (
            f'Damaged {what} in {path}: it can not be {done}: Input/output '
            'error'
        )


class ListTestCase(LeftOutTestCase):
    def test_all_there_is(self):
        self.assertEqual(self.all, self.listed())
        self.assertEqual(self.all, self.whole())
        self.assertEqual((), self.left.problems)

    def test_directory_that_can_not_be_read(self):
        self.bad[self.directory] = EVER

        self.assertEqual(
            {key for key in self.all if not key.startswith(self.directory)},
            self.listed(),
        )
        self.assertEqual((self.sentence(self.directory),), self.left.problems)
        error = self.assertRaises(errors.Corrupt, self.whole)
        self.assertEqual(self.sentence(self.directory), str(error))

    def test_directory_that_can_not_be_read_for_a_moment(self):
        self.bad[self.directory] = 1
        self.assertEqual(self.all, self.whole())
        self.bad[self.directory] = 1
        self.assertEqual(self.all, self.listed())
        self.assertEqual((), self.left.problems)

    def test_directory_below_one_that_is_read_again(self):
        self.bad['images'] = 1
        self.bad[self.directory] = EVER

        self.listed()

        self.assertEqual((self.sentence(self.directory),), self.left.problems)

    def test_directory_below_that_fails_when_the_one_above_does_not(self):
        self.bad['images'] = self.bad[self.directory] = 1

        self.assertEqual(self.all, self.listed())
        self.assertEqual((), self.left.problems)

    def test_object_is_known_by_its_name(self):
        key = layout.root_key(self.images[0].id)
        self.bad[key] = EVER

        self.assertEqual(self.all, self.whole())
        self.assertEqual(self.all, self.listed())
        self.assertEqual((), self.left.problems)

    def test_object_whose_size_is_told_again(self):
        key = layout.root_key(self.images[0].id)
        self.bad[key] = 1

        sizes = {info.key: info.size for info in self.left.list('images/')}

        self.assertEqual(self.storage.size(key), sizes[key])

    def test_top_directory(self):
        self.bad[''] = EVER

        self.assertEqual([], [*self.left.list('')])
        self.assertEqual((self.sentence('.'),), self.left.problems)
        self.assertEqual('.', self.left.above('images'))

    def test_storage_that_is_away(self):
        self.bad[self.directory] = EVER
        self.storage.away = True

        self.assertRaises(errors.StorageUnavailable, self.listed)
        self.assertRaises(errors.StorageUnavailable, self.whole)
        self.assertEqual((), self.left.problems)


class NotesTestCase(LeftOutTestCase):
    def test_deletion(self):
        key = layout.root_key(self.images[0].id)
        self.bad[key] = 1

        self.assertFalse(self.left.delete(key))
        self.assertEqual(
            (self.sentence(key, 'removed', 'object'),), self.left.problems
        )
        self.assertTrue(self.left.delete(key))
        self.assertNotIn(key, self.keys('images/'))

    def test_deletion_on_a_storage_that_is_away(self):
        key = layout.root_key(self.images[0].id)
        self.bad[key] = 1
        self.storage.away = True

        self.assertRaises(errors.StorageUnavailable, self.left.delete, key)

    def test_what_is_below_is_left_out_with_it(self):
        for path in ('a/b', 'a/b/c', 'a/bc', 'a/b'):
            self.left.add(errors.Corrupt('directory', path, 'bad'))

        self.assertEqual(2, len(self.left.problems))
        self.assertEqual('a/b', self.left.above('a/b/x/y'))
        self.assertEqual('a/bc', self.left.above('a/bc'))
        self.assertIsNone(self.left.above('a/bcd'))
        self.assertIsNone(self.left.above('a'))

    def test_each_is_told_once(self):
        told = []
        for number in range(2):
            self.left.add(errors.Corrupt('directory', f'{number}', 'bad'))
            self.left.tell(told.append)

        self.assertEqual([*self.left.problems], told)

    def test_number_of_problems_is_bounded(self):
        for number in range(200):
            self.left.add(errors.Corrupt('directory', f'{number}', 'bad'))

        self.assertEqual(100, len(self.left.problems))
        told = []
        self.left.tell(told.append)
        self.assertEqual(200, len(told))
