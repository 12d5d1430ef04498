# SPDX-License-Identifier: Apache-2.0
"""Directories and names that can't be read, on a storage that answers."""

import errno
import os
import shutil

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import repository
from ebackup_service.repository import root as image_root
from ebackup_service.repository.storage import nas
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service.repository import base

OTHER = image_root.Chain('project', 'other')
# What can't be read -> which collections stop: those that look at what has
# changed, and those that look at everything.
GOES_ON, STOPS, WHOLE_STOPS = (), (False, True), (True,)
DIRECTORIES = {
    'packs': GOES_ON,
    'packs of a prefix': GOES_ON,
    'packs of a session': GOES_ON,
    'packs of a dead session': GOES_ON,
    'compacted': GOES_ON,
    'compacted of a prefix': GOES_ON,
    'compacted of a session': GOES_ON,
    'compacted of a pack': GOES_ON,
    'accounts': GOES_ON,
    'images': STOPS,
    'image': STOPS,
    'dead image': STOPS,
    'tombstones': STOPS,
}
FILES = {
    'data pack': GOES_ON,
    'dead pack': GOES_ON,
    'compacted pack': GOES_ON,
    'account': GOES_ON,
    'tombstone': GOES_ON,
    # It was read by the collection before.
    'root': WHOLE_STOPS,
    'commit': WHOLE_STOPS,
}
# Of these a check says nothing: they only save time, or nobody needs them.
UNTOLD = ('account', 'dead pack')


class DirectoriesTestCase(base.RepositoryTestCase):
    """An image that counts and is compacted, one that is dead, and garbage.

    ``places``: what can't be read -> where it is.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.faulty = faulty_fixture.FaultyDirectory()
        cls.faulty.setUp()
        cls.addClassCleanup(cls.faulty.cleanUp)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.faulty.mend)
        self.make()
        self.images_damage = {}

    def fill(self):
        """Put the repository on the file system, as it was made."""
        self.faulty.mend()
        self.storage.close()
        self.name = base.new_id()
        shutil.copytree(self.path, f'{self.faulty.backing}/{self.name}')
        self.storage = nas.NasStorage(f'{self.faulty.path}/{self.name}')
        self.addCleanup(self.storage.close)
        self.repo = repository.Repository.open(self.storage)

    def make(self):
        data = os.urandom(60 * base.CHUNK)
        old = self.backup(data)
        changed = os.urandom(20 * base.CHUNK) + data[20 * base.CHUNK :]
        self.kept = self.backup(changed, base=old, generation=2)
        self.repo.delete_image(old.id)
        self.compact()
        self.needed = self.keys('packs/') | self.keys('compacted/')
        garbage = [
            self.backup(os.urandom(9000), chain=OTHER, generation=number)
            for number in (1, 2)
        ]
        self.collect()
        for image in garbage:
            self.repo.delete_image(image.id)
        self.dead = self.backup(os.urandom(9000), chain=OTHER, generation=3)
        self.find_places(garbage[0])

    def find_places(self, garbage):
        (compacted, *_) = self.keys('compacted/')
        (account, *_) = self.keys('accounts/')
        session = layout.session_prefix(self.kept.session.id)[:-1]
        self.dead_session = layout.session_prefix(garbage.session.id)[:-1]
        self.places = {
            'packs': 'packs',
            'packs of a prefix': os.path.dirname(session),
            'packs of a session': session,
            'packs of a dead session': self.dead_session,
            'compacted': 'compacted',
            'compacted of a prefix': compacted[:12],
            'compacted of a session': os.path.dirname(compacted[:60]),
            'compacted of a pack': os.path.dirname(compacted),
            'accounts': 'accounts',
            'images': 'images',
            'image': f'images/{self.kept.id}',
            'dead image': f'images/{self.dead.id}',
            'tombstones': 'tombstones',
            'data pack': f'{session}/d-00000001',
            'dead pack': f'{self.dead_session}/d-00000001',
            'compacted pack': compacted,
            'account': account,
            'tombstone': layout.tombstone_key(garbage.id),
            'root': layout.root_key(self.kept.id),
            'commit': layout.commit_key(self.kept.id),
        }
        self.assertEqual({*DIRECTORIES, *FILES}, {*self.places})

    def faults(self, prepare=lambda: None):
        """(what, call, who stops) of each, in a new repository."""
        for table, calls in (
            (DIRECTORIES, ('readdir', 'getattr')),
            (FILES, ('getattr',)),
        ):
            for what, stopped in table.items():
                for call in calls:
                    self.fill()
                    prepare()
                    self.spoil(what, call)
                    yield what, call, stopped

    def spoil(self, what, call, number=errno.EIO, **kwargs):
        path = f'^/{self.name}/{self.places[what]}$'
        self.faulty.fail(call, number, path, **kwargs)

    def can_be_restored(self, image):
        try:
            return image.data == base.restored(
                self.repo, self.repo.tree(image.root)
            )
        except errors.Corrupt:
            return False

    def assert_as_good_as_new(self):
        """The fault is gone, and with it all that it has led to."""
        self.faulty.mend()
        report = self.check()
        self.assertEqual([], report.problems)
        self.assertEqual([], report.damaged_images)
        result = self.collect(dead={self.dead.id}, whole=True)
        self.assertEqual((), result.left_out)
        self.assertEqual({self.kept.id}, set(self.repo.images()))
        self.assertEqual(
            self.needed, self.keys('packs/') | self.keys('compacted/')
        )
        self.assertTrue(self.can_be_restored(self.kept))

    def test_check_goes_on_and_tells(self):
        for what, call, _ in self.faults():
            fault = what, call
            lost = [
                image.id
                for image in (self.kept, self.dead)
                if not self.can_be_restored(image)
            ]

            for read_data in (True, False):
                report = self.check(read_data)

                told = [p for p in report.problems if self.places[what] in p]
                self.assertEqual(what not in UNTOLD, bool(told), fault)
                self.assertEqual({*lost}, {*report.damaged_images}, fault)
            self.faulty.mend()
            self.assertEqual([], self.check(read_data=False).problems)

    def test_everything_else_is_checked(self):
        """Other damage is found beside what can't be read."""
        key = layout.root_key(self.dead.id)
        tombstone = layout.tombstone_key(base.new_id())

        def damage():
            for path in (key, tombstone):
                with open(f'{self.faulty.backing}/{self.name}/{path}', 'wb'):
                    pass

        for what, call, _ in self.faults(damage):
            problems = ' '.join(self.check().problems)

            if what not in ('images', 'dead image'):
                self.assertIn(key, problems, (what, call))
            if what != 'tombstones':
                self.assertIn(tombstone, problems, (what, call))

    def test_collection_stops_or_leaves_what_can_not_be_read(self):
        for whole in (False, True):
            for what, call, stopped in self.faults():
                self.assert_collects(what, call, whole in stopped, whole)
                self.assert_as_good_as_new()

    def assert_collects(self, what, call, stops, whole):
        fault = what, call, whole
        before = self.objects('packs') | self.objects('compacted')
        path = self.places[what]
        error = None
        try:
            result = self.collect(dead={self.dead.id}, whole=whole)
        except errors.Corrupt as found:
            error = found
        after = self.objects('packs') | self.objects('compacted')
        self.assertLessEqual(self.needed, after, fault)
        # Pages that can't be read may lead to anything.
        hidden = call == 'getattr' and path in os.path.dirname(
            layout.pack_key(self.kept.root.tree.pack)
        )
        if stops or (hidden and whole):
            self.assertIsNotNone(error, fault)
            self.assertIn(path, str(error))
            self.assertFalse(error.retryable)
            self.assertEqual(before, after, fault)
            return
        self.assertIsNone(error, fault)
        left = {key for key in after - self.needed if key.startswith(path)}
        self.assertEqual(self.needed | left, after, fault)
        if left:
            self.assertIn(path, ' '.join(result.left_out), fault)

    def objects(self, top):
        """What there is, whatever can be read."""
        start = f'{self.faulty.backing}/{self.name}/'
        return {
            os.path.join(path, name).removeprefix(start)
            for path, _, names in os.walk(start + top)
            for name in names
        }

    def test_collection_frees_the_rest(self):
        self.fill()
        self.spoil('packs of a dead session', 'readdir')

        result = self.collect(dead={self.dead.id})

        self.assertEqual(2, len(self.objects('packs') - self.needed))
        self.assertEqual(4, result.packs_removed)
        self.assertEqual(
            (
                f'Damaged directory in {self.dead_session}: it can not be '
                'read: Input/output error',
            ),
            result.left_out,
        )

    def test_pack_that_can_not_be_removed_is_left(self):
        self.fill()
        self.spoil('dead pack', 'unlink')

        result = self.collect(dead={self.dead.id})

        self.assertEqual(5, result.packs_removed)
        self.assertEqual(
            (
                f'Damaged object in {self.places["dead pack"]}: it can not '
                'be removed: Input/output error',
            ),
            result.left_out,
        )
        self.assert_as_good_as_new()

    def test_account_that_can_not_be_written_is_done_without(self):
        self.fill()
        shutil.rmtree(f'{self.faulty.backing}/{self.name}/accounts')
        self.faulty.fail('create', errno.EIO, '/accounts/')

        result = self.collect(dead={self.dead.id})

        self.assertEqual(6, result.packs_removed)
        [problem] = result.left_out
        self.assertIn('Damaged account in accounts/', problem)
        self.assertIn('can not be written', problem)
        self.assert_as_good_as_new()

    def test_compaction_needs_to_know_what_it_has_left_before(self):
        self.fill()
        whole = os.urandom(60 * base.CHUNK)
        first = self.backup(whole, chain=OTHER, generation=7)
        second = self.backup(
            os.urandom(55 * base.CHUNK) + whole[55 * base.CHUNK :],
            base=first,
            chain=OTHER,
            generation=8,
        )
        self.repo.delete_image(first.id)
        before = self.objects('compacted')
        self.spoil('compacted', 'getattr')

        # What is compacted by now can't be read; that of others may be.
        result = self.compact(dead={self.dead.id})

        self.assertEqual(before, self.objects('compacted'))
        self.assertIn('compacted', ' '.join(result.compaction_problems))
        self.faulty.mend()
        result = self.compact(dead={self.dead.id})
        self.assertLess(0, result.packs_compacted)
        self.assertEqual((), result.compaction_problems)
        self.assertTrue(self.can_be_restored(second))
        self.assertTrue(self.can_be_restored(self.kept))

    def test_temporary_file_that_can_not_be_removed_is_left(self):
        self.fill()
        name = f'.d-00000009.{"0" * 32}.tmp'
        start = f'{self.faulty.backing}/{self.name}'
        with open(f'{start}/{self.dead_session}/{name}', 'wb'):
            pass
        os.utime(f'{start}/{self.dead_session}/{name}', (0, 0))
        self.faulty.fail('unlink', errno.EIO, name)

        result = self.collect(dead={self.dead.id})

        self.assertEqual(0, result.temporaries_removed)
        self.assertIn(name, ' '.join(result.left_out))
        self.faulty.mend()
        self.assertEqual(1, self.collect().temporaries_removed)

    def test_storage_that_is_away_is_not_left_out(self):
        for what in DIRECTORIES:
            for number in (errno.EIO, errno.ESTALE):
                self.fill()
                before = self.objects('')
                self.spoil(what, 'readdir', number)
                if number == errno.EIO:
                    self.faulty.fail('open', number, 'repository.json')
                for job in (self.check, self.collect):
                    error = self.assertRaises(errors.StorageUnavailable, job)
                    self.assertTrue(error.retryable)
                self.assertEqual({}, self.images_damage)
                self.assertEqual(before, self.objects(''))

    def test_storage_that_was_away_for_a_moment(self):
        for what in DIRECTORIES:
            for call in ('readdir', 'getattr'):
                self.fill()
                self.spoil(what, call, times=1)
                self.assertEqual([], self.check().problems, what)
                self.faulty.mend()
                self.spoil(what, call, times=1)
                result = self.collect(dead={self.dead.id})
                self.assertEqual((), result.left_out)
                self.assert_as_good_as_new()
