# SPDX-License-Identifier: Apache-2.0
"""Parts of tools/lab that need no lab."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from unittest import mock

from tests import base
from tests import environment

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'
CONFINE = TOOLS / 'lablib/confine.py'
USER, GROUP, EXTRA = 23456, 23457, 23458


class TestConfine(base.BaseTestCase):
    """A command runs as another user who sees one directory."""

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid():
            environment.lacks('becoming another user needs root')
        # Not below the directory of the test, which is closed as well.
        temporary = tempfile.TemporaryDirectory(dir='/tmp')
        self.addCleanup(temporary.cleanup)
        self.closed = pathlib.Path(temporary.name) / 'closed'
        self.directory = self.closed / 'deep' / 'lab'
        self.directory.mkdir(parents=True)
        pathlib.Path(temporary.name).chmod(0o755)
        self.closed.chmod(0o700)
        (self.directory / 'file').write_text('seen')
        (self.closed / 'secret').write_text('not seen')

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        arguments = [str(USER), str(GROUP), f'{GROUP},{EXTRA}']
        return subprocess.run(
            [
                *(sys.executable, CONFINE, *arguments, self.directory),
                *('/bin/sh', '-c', script),
            ],
            cwd=self.closed,
            capture_output=True,
            text=True,
        )

    def test_user_and_groups_are_those_given_and_no_others(self) -> None:
        done = self._run('id -u; id -g; id -G; grep CapEff /proc/self/status')
        user, group, groups, capabilities = done.stdout.splitlines()
        self.assertEqual((str(USER), str(GROUP)), (user, group))
        self.assertEqual({str(GROUP), str(EXTRA)}, set(groups.split()))
        self.assertEqual(0, int(capabilities.split()[1], 16))

    def test_directory_below_a_closed_one_is_reached(self) -> None:
        done = self._run(f'cat {self.directory}/file')
        self.assertEqual('seen', done.stdout, done.stderr)

    def test_nothing_else_below_the_closed_one_is(self) -> None:
        done = self._run(f'ls {self.closed}; cat {self.closed}/secret')
        self.assertEqual('deep\n', done.stdout)
        self.assertNotEqual(0, done.returncode)

    def test_others_see_what_they_saw(self) -> None:
        before = pathlib.Path('/proc/self/mounts').read_text()
        self._run('true')
        self.assertEqual(before, pathlib.Path('/proc/self/mounts').read_text())
        self.assertEqual(0o700, self.closed.stat().st_mode & 0o777)
        self.assertEqual('not seen', (self.closed / 'secret').read_text())

    def test_what_is_mounted_in_the_directory_is_there(self) -> None:
        inner = self.directory / 'mounted'
        inner.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', 'none', inner], check=True)
        self.addCleanup(subprocess.run, ['umount', inner], check=True)
        (inner / 'file').write_text('mounted')
        done = self._run(f'cat {inner}/file')
        self.assertEqual('mounted', done.stdout, done.stderr)

    def test_open_directory_needs_no_namespace(self) -> None:
        self.closed.chmod(0o755)
        done = self._run('readlink /proc/self/ns/mnt')
        self.assertEqual(os.readlink('/proc/self/ns/mnt'), done.stdout.strip())


class TestMissingPackages(base.BaseTestCase):
    def up(self, profile: str) -> str:
        """Return the error where no program is found, not even apt-get."""
        with tempfile.TemporaryDirectory() as directory:
            program = [sys.executable, TOOLS / 'lab', '--dir', directory]
            done = subprocess.run(
                [*program, 'up', profile],
                env={'PATH': '/nonexistent'},
                capture_output=True,
                text=True,
            )
        self.assertEqual(1, done.returncode)
        return done.stderr

    def test_are_named_with_what_installs_them(self) -> None:
        self.assertRegex(
            self.up('default'),
            'missing system packages; install them with\n'
            '  apt-get install --no-install-recommends coreutils',
        )

    def test_include_those_of_ceph_where_it_is_wanted(self) -> None:
        if os.geteuid():
            environment.lacks('a lab with Ceph needs root')
        named = self.up('ceph')
        for package in 'ceph-common', 'ceph-mgr', 'ceph-mon', 'radosgw':
            self.assertIn(f' {package} ', named)


class LabLibraryTestCase(base.BaseTestCase):
    """Imports from tools/lablib; has a directory of its own."""

    def setUp(self) -> None:
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.run_directory = pathlib.Path(temporary.name)
        sys.path.insert(0, str(TOOLS))
        self.addCleanup(sys.path.remove, str(TOOLS))


class TestLab(LabLibraryTestCase):
    """The directory of a lab."""

    def setUp(self) -> None:
        super().setUp()
        from lablib import lab

        self.lab = lab.Lab(self.run_directory / 'lab')
        self.lab.create('default')

    def test_stage_is_done_until_the_lab_is_cleared(self) -> None:
        self.assertFalse(self.lab.done('stage'))
        self.lab.mark_done('stage')
        self.assertTrue(self.lab.done('stage'))
        self.lab.clear()
        self.assertFalse(self.lab.done('stage'))

    def test_interrupted_clearing_is_known_until_it_is_finished(self) -> None:
        self.assertFalse(self.lab.is_being_removed)
        with (
            mock.patch('shutil.rmtree', side_effect=KeyboardInterrupt),
            self.assertRaises(KeyboardInterrupt),
        ):
            self.lab.clear()
        self.assertTrue(self.lab.exists)
        self.assertTrue(self.lab.is_being_removed)
        self.lab.clear()
        self.assertEqual([], list(self.lab.directory.iterdir()))

    def test_lock_lasts_until_those_that_inherited_it_have_ended(self) -> None:
        with self.lab.locked():
            heir = subprocess.Popen(
                ['cat'], stdin=subprocess.PIPE, pass_fds=self.lab.lock
            )
        self.assertTrue(self._is_locked())
        heir.communicate()
        self.assertFalse(self._is_locked())

    def test_image_of_volumes_is_kept_though_it_can_not_be_mounted(
        self,
    ) -> None:
        if os.geteuid():
            environment.lacks('mounting needs root')
        from lablib import console
        from lablib import volumes

        self.lab.volume_image.write_bytes(bytes(4096))
        self.assertRaises(console.Problem, volumes.prepare, self.lab)
        self.assertEqual(4096, self.lab.volume_image.stat().st_size)

    def _is_locked(self) -> bool:
        done = subprocess.run(
            ['flock', '--nonblock', self.lab.directory, 'true']
        )
        return done.returncode != 0


class TestDirectoryOfAnother(LabLibraryTestCase):
    """A directory that was there before, and is no lab."""

    def setUp(self) -> None:
        super().setUp()
        from lablib import lab

        self.directory = self.run_directory / 'lab'
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.lab = lab.Lab(self.directory)

    def _create(self) -> None:
        with self.lab.locked(create=True):
            self.lab.create('default')

    def _refused(self) -> str:
        from lablib import console

        return str(self.assertRaises(console.Problem, self._create))

    def test_is_made_a_lab_if_it_is_empty(self) -> None:
        self._create()
        self.assertTrue(self.lab.exists)

    def test_is_left_as_it_is_if_it_holds_something(self) -> None:
        from lablib import console
        from lablib import lifecycle

        for name in 'file', 'being-removed':
            file = self.directory / name
            file.write_text('precious')
            self.directory.chmod(0o700)
            self.assertIn('holds something, but no lab', self._refused())
            self.assertRaises(console.Problem, lifecycle.destroy, self.lab)
            self.assertEqual([file], list(self.directory.iterdir()))
            self.assertEqual(0o700, self.directory.stat().st_mode & 0o777)
            file.unlink()

    def test_is_not_opened_for_others(self) -> None:
        self.directory.chmod(0o700)
        if os.geteuid():
            self._create()
        else:
            self.assertIn('(mode 0700); chmod it', self._refused())
        self.assertEqual(0o700, self.directory.stat().st_mode & 0o777)

    def test_may_have_been_left_by_an_interrupted_up(self) -> None:
        from lablib import lifecycle

        def interrupt() -> None:
            with (
                mock.patch('pathlib.Path.replace', side_effect=MemoryError),
                self.assertRaises(MemoryError),
            ):
                self._create()
            self.assertFalse(self.lab.exists)
            self.assertNotEqual([], list(self.directory.iterdir()))

        interrupt()
        self._create()
        self.assertTrue(self.lab.exists)
        self.lab.clear()
        interrupt()
        lifecycle.destroy(self.lab)
        self.assertFalse(self.directory.exists())


class TestProcess(LabLibraryTestCase):
    """A process is found again, and nobody else is taken for it."""

    def setUp(self) -> None:
        super().setUp()
        from lablib import process

        self.process = process.Process(self.run_directory, 'one')
        self.addCleanup(self.process.kill)

    def _start(self, script: str) -> int:
        self.process.start(
            ['/bin/sh', '-c', script],
            {'PATH': os.environ['PATH']},
            self.run_directory,
            self.run_directory / 'log',
            'fingerprint',
        )
        pid = self.process.pid
        assert pid is not None
        return pid

    def test_stopped_process_is_gone(self) -> None:
        self._start('exec sleep 1000')
        self.assertTrue(self.process.stop(patience=10))
        self.assertIsNone(self.process.pid)
        self.assertIsNone(self.process.record)

    def test_process_that_does_not_end_is_killed(self) -> None:
        pid = self._start(
            'trap "" TERM; echo ready; while :; do sleep 1; done'
        )
        while 'ready' not in (self.run_directory / 'log').read_text():
            self.assertIsNotNone(self.process.pid)
        self.assertFalse(self.process.stop(patience=0.2))
        self.assertIsNone(self.process.pid)
        os.waitpid(pid, 0)

    def test_nothing_is_done_by_one_that_was_not_recorded(self) -> None:
        with (
            mock.patch.object(self.process, '_write', side_effect=MemoryError),
            self.assertRaises(MemoryError),
        ):
            self._start('touch done')
        # It has been told nothing, and ends.
        os.wait()
        self.assertFalse((self.run_directory / 'done').exists())

    def test_children_end_with_it(self) -> None:
        self._start('sleep 1000 & echo $!; wait')
        log = self.run_directory / 'log'
        while not log.read_text().endswith('\n'):
            self.assertIsNotNone(self.process.pid)
        child = pathlib.Path('/proc', log.read_text().strip(), 'status')
        self.process.kill()
        deadline = time.monotonic() + 10
        while child.exists() and 'zombie' not in child.read_text():
            self.assertLess(time.monotonic(), deadline)

    def test_another_process_with_its_id_is_left_alone(self) -> None:
        pid = self._start('exec sleep 1000')
        file = self.run_directory / 'one.json'
        true_record = file.read_text()
        record = json.loads(true_record)
        for field, value in ('tick', '1'), ('boot', 'another'):
            file.write_text(json.dumps(record | {field: value}))
            self.assertIsNone(self.process.pid)
            self.process.stop(patience=1)
            state = pathlib.Path(f'/proc/{pid}/status').read_text()
            self.assertNotIn('zombie', state)
        file.write_text(true_record)


class TestDemo(LabLibraryTestCase):
    """What the demonstration says of bytes that differ."""

    def setUp(self) -> None:
        super().setUp()
        from lablib import demo
        from lablib import demo_volume

        self.demo = demo
        self.restored = self.run_directory / 'restored'
        self.restored.write_bytes(b'bytes of the volume')
        digest = demo_volume.FileVolume(self.restored).sha256()
        self.backup = demo.Backup('demo-1-full', 'backup-id', digest)
        # All but the comparison takes a lab.
        steps: dict[str, mock.Mock] = {
            '_openstack': mock.Mock(return_value='volume-id'),
            '_wait': mock.Mock(),
            '_restore_job': mock.Mock(return_value={}),
            '_remove_leftovers': mock.Mock(),
            '_backup': mock.Mock(return_value=self.backup),
            '_delete': mock.Mock(),
        }
        for patch in (
            mock.patch.multiple(demo.Demo, **steps),
            mock.patch.object(demo.rest, 'client'),
            mock.patch.object(demo.report, 'variables', return_value={}),
            mock.patch.object(
                demo.demo_volume,
                'find',
                return_value=demo_volume.FileVolume(self.restored),
            ),
            mock.patch.multiple(
                demo.filesystem,
                make=mock.Mock(),
                change=mock.Mock(),
                check=mock.Mock(),
            ),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def run_demo(self) -> tuple[int, str]:
        """Return its exit code, and what it printed."""
        lab = mock.Mock(directory=self.run_directory)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code = self.demo.run(lab)
        return code, printed.getvalue()

    def test_the_same_bytes(self) -> None:
        code, printed = self.run_demo()
        self.assertEqual(0, code)
        self.assertIn('every byte is right', printed)
        self.assertNotIn('DIFFER', printed)

    def test_one_bit_is_another_one(self) -> None:
        self.restored.write_bytes(b'bytes of the volumf')
        code, printed = self.run_demo()
        self.assertEqual(1, code)
        self.assertRegex(
            printed, '(?m)^restore demo-1-full in place .*DIFFERENT'
        )
        self.assertIn('BYTES DIFFER', printed)

    def test_the_last_restore_alone_differs(self) -> None:
        def restore(*arguments: str) -> str:
            if '--force' in arguments:
                self.restored.write_bytes(b'bytes of the volumf')
            return 'volume-id'

        self.demo.Demo._openstack.side_effect = restore
        code, printed = self.run_demo()
        self.assertEqual(1, code)
        self.assertEqual(1, printed.count('DIFFERENT'), printed)
