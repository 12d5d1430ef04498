# SPDX-License-Identifier: Apache-2.0
import os
import socket
import tempfile
from unittest import mock

import fixtures

from ebackup_service.production import errors
from ebackup_service.production import paths
from tests import base


class PathsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        top = os.path.realpath(self.useFixture(fixtures.TempDir()).path)
        self.root = os.path.join(top, 'root')
        self.outside = os.path.join(top, 'root-but-longer')
        os.mkdir(self.root)
        os.mkdir(self.outside)

    def file(self, directory, name, content=b''):
        path = os.path.join(directory, name)
        with open(path, 'wb') as file:
            file.write(content)
        return path

    def look(self, path):
        return paths.look(path, [self.root])


class ShownTest(base.BaseTestCase):
    def test_path_of_a_volume_is_whole(self):
        path = f'/var/lib/cinder/mnt/{"0" * 32}/volume-{"1" * 36}'
        self.assertEqual(path, paths.shown(path))

    def test_long_path_keeps_its_ends(self):
        shown = paths.shown(f'/first/{"x" * 5000}/last')
        self.assertLess(len(shown), 128)
        self.assertRegex(shown, '^/first/x+…x+/last$')


class LookTest(PathsTestCase):
    def assertForbidden(self, path):
        return self.assertRaises(errors.PathForbidden, self.look, path)

    def test_file_below_a_root(self):
        path = self.file(self.root, 'volume')
        place = self.look(path)
        self.assertEqual(path, place.path)
        self.assertFalse(place.is_device)

    def test_link_inside_the_roots_is_resolved(self):
        path = self.file(self.root, 'volume')
        link = os.path.join(self.root, 'link')
        os.symlink('volume', link)
        place = self.look(link)
        self.assertEqual((link, path), (place.given, place.path))

    def test_root_may_be_a_link_itself(self):
        path = self.file(self.root, 'volume')
        link = self.root + '-link'
        os.symlink(self.root, link)
        self.assertEqual(
            path, paths.look(os.path.join(link, 'volume'), [link]).path
        )

    def test_file_among_devices(self):
        file = tempfile.NamedTemporaryFile(dir='/dev/shm')
        self.addCleanup(file.close)
        error = self.assertRaises(
            errors.PathForbidden, paths.look, file.name, ['/dev']
        )
        self.assertIn('only block devices', str(error))

    def test_unknown(self):
        error = self.assertRaises(
            errors.PathUnknown, self.look, os.path.join(self.root, 'none')
        )
        self.assertIn('does not exist', str(error))

    def test_outside_the_roots(self):
        error = self.assertForbidden(self.file(self.outside, 'volume'))
        self.assertIn('attached_roots', str(error))

    def test_outside_the_roots_nobody_learns_what_exists(self):
        self.assertForbidden(os.path.join(self.outside, 'none'))

    def test_dots_out_of_the_roots(self):
        self.file(self.outside, 'volume')
        self.assertForbidden(
            os.path.join(self.root, '..', 'root-but-longer', 'volume')
        )

    def test_link_out_of_the_roots(self):
        link = os.path.join(self.root, 'link')
        os.symlink(self.file(self.outside, 'volume'), link)
        self.assertForbidden(link)

    def test_linked_directory_out_of_the_roots(self):
        self.file(self.outside, 'volume')
        os.symlink(self.outside, os.path.join(self.root, 'directory'))
        self.assertForbidden(os.path.join(self.root, 'directory', 'volume'))

    def test_no_roots_at_all(self):
        path = self.file(self.root, 'volume')
        self.assertRaises(errors.PathForbidden, paths.look, path, [])

    def test_relative_path(self):
        self.assertForbidden('volume')

    def test_path_with_nul(self):
        self.assertForbidden(os.path.join(self.root, 'a\0b'))

    def test_directory(self):
        error = self.assertForbidden(self.root)
        self.assertIn('a directory', str(error))

    def test_named_pipe_is_refused_without_opening_it(self):
        path = os.path.join(self.root, 'pipe')
        os.mkfifo(path)
        error = self.assertForbidden(path)
        self.assertIn('a named pipe', str(error))

    def test_socket(self):
        path = os.path.join(self.root, 's')
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        directory = os.open(self.root, os.O_RDONLY)
        self.addCleanup(os.close, directory)
        # A socket's name holds 107 bytes, temporary directories can be long.
        listener.bind(f'/proc/self/fd/{directory}/s')
        error = self.assertForbidden(path)
        self.assertIn('a socket', str(error))

    def test_character_device(self):
        error = self.assertRaises(
            errors.PathForbidden, paths.look, '/dev/zero', ['/dev']
        )
        self.assertIn('a character device', str(error))


class OpenPlaceTest(PathsTestCase):
    def open(self, place, flags=os.O_RDONLY):
        descriptor = paths.open_place(place, flags)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def assertReplaced(self, place):
        with self.leaves_nothing_open():
            error = self.assertRaises(
                errors.PathReplaced, paths.open_place, place, os.O_RDONLY
            )
            self.assertIn('was replaced', str(error))

    def test_reads_what_was_looked_at(self):
        place = self.look(self.file(self.root, 'volume', b'content'))
        descriptor = self.open(place)
        self.assertEqual(b'content', os.read(descriptor, 10))
        self.assertTrue(os.get_blocking(descriptor))
        self.assertFalse(os.get_inheritable(descriptor))

    def test_replaced_by_another_file(self):
        path = self.file(self.root, 'volume')
        place = self.look(path)
        os.rename(self.file(self.root, 'other'), path)
        self.assertReplaced(place)

    def test_replaced_by_a_link_out_of_the_roots(self):
        path = self.file(self.root, 'volume')
        place = self.look(path)
        os.unlink(path)
        os.symlink(self.file(self.outside, 'volume'), path)
        self.assertReplaced(place)

    def test_replaced_by_a_link_to_the_same_file(self):
        path = self.file(self.root, 'volume')
        place = self.look(path)
        os.rename(path, os.path.join(self.root, 'moved'))
        os.symlink('moved', path)
        self.assertReplaced(place)

    def test_replaced_by_a_named_pipe(self):
        path = self.file(self.root, 'volume')
        place = self.look(path)
        os.unlink(path)
        os.mkfifo(path)
        self.assertReplaced(place)

    def test_gone(self):
        path = self.file(self.root, 'volume')
        place = self.look(path)
        os.unlink(path)
        self.assertReplaced(place)

    def test_directory_swapped_for_a_link_before_the_status(self):
        """The name is resolved, then leads out of the roots."""
        directory = os.path.join(self.root, 'directory')
        os.mkdir(directory)
        path = self.file(directory, 'volume')
        self.file(self.outside, 'volume')
        resolve = os.path.realpath

        def resolve_then_swap(name):
            resolved = resolve(name)
            if name == path:
                os.rename(directory, directory + '-moved')
                os.symlink(self.outside, directory)
            return resolved

        with mock.patch.object(os.path, 'realpath', resolve_then_swap):
            place = self.look(path)
        self.assertReplaced(place)

    def test_not_permitted(self):
        # Not even root may write what the kernel only tells.
        place = paths.look('/sys/kernel/notes', ['/sys'])
        self.assertRaises(
            errors.PathForbidden, paths.open_place, place, os.O_RDWR
        )

    def test_not_permitted_names_what_to_do(self):
        place = self.look(self.file(self.root, 'volume'))
        with mock.patch.object(
            os, 'open', side_effect=PermissionError(13, 'Permission denied')
        ):
            error = self.assertRaises(
                errors.PathForbidden, paths.open_place, place, os.O_RDONLY
            )
        self.assertIn('group', str(error))

    def test_read_only_file_system_names_what_to_do(self):
        place = self.look(self.file(self.root, 'volume'))
        with mock.patch.object(
            os, 'open', side_effect=OSError(30, 'Read-only file system')
        ):
            error = self.assertRaises(
                errors.PathForbidden, paths.open_place, place, os.O_RDWR
            )
        self.assertTrue(
            str(error).startswith(f'{place.given} is read-only for the proxy:')
        )
        self.assertIn('ReadWritePaths', str(error))
        self.assertNotIn('group', str(error))

    def test_running_program_is_busy_for_writing(self):
        path = self.file(self.root, 'volume')
        with mock.patch.object(
            os, 'open', side_effect=OSError(26, 'Text file busy')
        ):
            self.assertRaises(
                errors.PathBusy,
                paths.open_place,
                self.look(path),
                os.O_RDWR,
            )

    def test_other_failures_pass(self):
        place = self.look(self.file(self.root, 'volume'))
        with mock.patch.object(
            os, 'open', side_effect=OSError(5, 'Input/output error')
        ):
            self.assertRaises(OSError, paths.open_place, place, os.O_RDONLY)
