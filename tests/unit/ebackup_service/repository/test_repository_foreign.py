# SPDX-License-Identifier: Apache-2.0
"""What nobody has meant to be in a repository."""

from collections.abc import Iterator
import contextlib
import os
import random

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import repository
from tests.unit.ebackup_service.repository import damage
from tests.unit.ebackup_service.repository import hostile


class ForeignTestCase(damage.DamageTestCase):
    """What is no file, in the place of each kind of object."""

    def replaced(self, key: str) -> Iterator[str]:
        path = os.path.join(self.path, key)
        os.rename(path, f'{self.path}/kept')
        os.mkdir(path)
        yield 'directory'
        os.rmdir(path)
        os.mkfifo(path)
        yield 'pipe'
        os.unlink(path)
        os.symlink(f'{self.path}/kept', path)
        yield 'link'
        os.unlink(path)
        os.rename(f'{self.path}/kept', path)

    def test_objects_of_an_image(self):
        for key in (
            self.pack(location.DATA),
            self.pack(location.PAGE),
            layout.root_key(self.first.id),
        ):
            for kind in self.replaced(key):
                with self.subTest(key=key, kind=kind):
                    error = self.assertRaises(
                        errors.RepositoryError, self.restore_both
                    )
                    self.assertIsInstance(
                        error,
                        (
                            errors.Corrupt,
                            errors.ImageMissing,
                            errors.StorageUnavailable,
                        ),
                    )
        self.restore_both()

    def test_repository(self):
        for kind in self.replaced(layout.REPOSITORY):
            with self.subTest(kind=kind):
                self.assertRaises(
                    errors.RepositoryError,
                    repository.Repository.open,
                    self.storage,
                )

    def test_objects_that_are_not_ours_are_left_alone(self):
        session = self.first.session.id
        # A directory that is not the session's.
        other = 'ff' if session.startswith('00') else '00'
        names = [
            'notes',
            'packs/notes',
            f'packs/{session[:2]}/notes',
            f'packs/{session[:2]}/{session}/d-1',
            f'packs/{session[:2]}/{session}/x-00000001',
            f'packs/{other}/{session}/d-00000001',
            f'images/{self.first.id}/roots',
            'images/notes/root',
            f'tombstones/{self.first.id}-not',
            'sessions/one',
            'keys/one',
        ]
        for name in names:
            path = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as file:
                file.write(b'mine')

        self.assertEqual([], self.check().problems)
        self.restore_both()
        for image in (self.first, self.second):
            self.repo.delete_image(image.id)
        self.collect()

        for name in names:
            self.assertEqual(b'mine', self.object(name))
        self.assertEqual(0, self.repo.usage().images)

    def test_garbage_under_the_name_of_a_pack_is_collected(self):
        key = layout.pack_key(location.PackAddress(os.urandom(16), 1, 1))
        self.storage.create(key, [os.urandom(1000)])

        self.assertEqual([], self.check().problems)
        self.assertEqual(1, self.collect().packs_removed)
        self.assertEqual(self.before, self.keys())


class AnywhereTestCase(damage.DamageTestCase):
    def test_random_bytes_in_random_places(self):
        keys = sorted(self.before)
        for _ in range(60):
            with contextlib.ExitStack() as stack:
                for key in random.sample(keys, random.randint(1, 3)):
                    data = bytearray(self.object(key))
                    at = random.randrange(len(data))
                    length = random.choice((1, 4, 32, 500))
                    data[at : at + length] = os.urandom(length)
                    changed = bytes(data)
                    if layout.parse_pack(key) and random.random() < 0.5:
                        changed = hostile.with_checksums(changed)
                    stack.enter_context(self.instead(key, changed))
                for image in (self.first, self.second):
                    with contextlib.suppress(errors.RepositoryError):
                        self.assertEqual(image.data, self.restore(image.id))
                for function in (self.check, self.collect):
                    with contextlib.suppress(errors.RepositoryError):
                        function()
                self.assertEqual(self.before, self.keys())
        self.restore_both()
