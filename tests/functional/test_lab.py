# SPDX-License-Identifier: Apache-2.0
"""The lab's own parts work, so that a failure elsewhere is the product's."""

import os
import pathlib
import stat
import subprocess
import tempfile

from openstack import exceptions as sdk_errors

from tests import environment
from tests.functional import base
from tests.functional import lab
from tests.functional import sockets

BLOCK, FILE = 'block', 'file'
# No user or group has this number.
NAMELESS = 23457


class TestBackEnd(base.LabTestCase):
    """Our volume driver, on each way of attaching."""

    def test_new_volume_reads_as_zeros_and_takes_no_space(self) -> None:
        for kind in self.lab.volume_types:
            volume = self.create_volume(size=2, volume_type=kind)
            status = self.volume_path(volume).stat()
            self.assertEqual(2 * base.GIB, status.st_size)
            self.assertEqual(0, status.st_blocks)

    def test_snapshot_keeps_what_the_volume_loses(self) -> None:
        for kind in self.lab.volume_types:
            volume = self.create_volume(volume_type=kind)
            self.write(volume, 5 * base.MIB, b'before')
            snapshot = self.create_snapshot(volume)
            self.write(volume, 5 * base.MIB, b'after!')
            copy = self.create_volume(volume_type=kind, snapshot_id=snapshot)
            self.assertEqual(b'before', self.read(copy, 5 * base.MIB, 6))
            self.assertEqual(b'after!', self.read(volume, 5 * base.MIB, 6))

    def test_volume_is_reverted_to_its_snapshot(self) -> None:
        volume = self.create_volume(volume_type=FILE)
        self.write(volume, 0, b'before')
        snapshot = self.create_snapshot(volume)
        self.write(volume, 0, b'after!')
        storage = self.demo.block_storage
        storage.revert_volume_to_snapshot(volume, snapshot)
        self.wait_for_status(storage.get_volume, volume, 'available')
        self.assertEqual(b'before', self.read(volume, 0, 6))

    def test_clone_is_independent_and_may_be_larger(self) -> None:
        for kind in self.lab.volume_types:
            volume = self.create_volume(volume_type=kind)
            self.write(volume, base.GIB - 4, b'last')
            clone = self.create_volume(
                size=2, volume_type=kind, source_volume_id=volume
            )
            self.write(volume, base.GIB - 4, b'gone')
            self.assertEqual(
                b'last\0\0\0\0', self.read(clone, base.GIB - 4, 8)
            )
            self.assertEqual(
                2 * base.GIB, self.volume_path(clone).stat().st_size
            )

    def test_volume_is_extended(self) -> None:
        volume = self.create_volume(volume_type=FILE)
        self.write(volume, base.GIB - 4, b'last')
        storage = self.demo.block_storage
        storage.extend_volume(volume, 3)
        self.wait_for_status(storage.get_volume, volume, 'available')
        self.assertEqual(b'last\0\0\0\0', self.read(volume, base.GIB - 4, 8))
        self.assertEqual(3 * base.GIB, self.volume_path(volume).stat().st_size)

    def test_deleted_volume_leaves_no_file(self) -> None:
        volume = self.create_volume(volume_type=FILE)
        path = self.volume_path(volume)
        storage = self.demo.block_storage
        storage.delete_volume(volume)
        self.wait_until_gone(storage.get_volume, volume)
        self.assertFalse(path.exists())


class TestAttaching(base.LabTestCase):
    """What Cinder hands out when a volume is attached."""

    def _device(self, attachment: str) -> str:
        answer = self.demo.block_storage.get(f'/attachments/{attachment}')
        sdk_errors.raise_from_response(answer)
        return answer.json()['attachment']['connection_info']['device_path']

    def test_block_volume_is_attached_as_a_block_device(self) -> None:
        volume = self.create_volume(volume_type=BLOCK)
        self.write(volume, base.MIB, b'block')
        attachment = self.use_volume(volume)
        device = self._device(attachment)
        status = os.stat(device)
        self.assertTrue(stat.S_ISBLK(status.st_mode))
        self.assertEqual(0o660, stat.S_IMODE(status.st_mode))
        self.assertEqual(6, status.st_gid)  # disk
        with open(device, 'r+b', buffering=0) as file:
            self.assertEqual(base.GIB, file.seek(0, os.SEEK_END))
            file.seek(base.MIB)
            self.assertEqual(b'block', file.read(5))
            file.seek(4096)
            file.write(b'written'.ljust(512, b'\0'))
            os.fsync(file.fileno())
        self.release_volume(volume, attachment)
        self.assertEqual(b'written', self.read(volume, 4096, 7))

    def test_nothing_stays_attached(self) -> None:
        volume = self.create_volume(volume_type=BLOCK)
        attachment = self.use_volume(volume)
        number = self._device(attachment).removeprefix('/dev/')
        backing = f'/sys/block/{number}/loop/backing_file'
        path = str(self.volume_path(volume))
        with open(backing) as file:
            self.assertEqual(path, file.read().strip())
        self.release_volume(volume, attachment)
        if os.path.exists(backing):
            # Meanwhile somebody else's.
            with open(backing) as file:
                self.assertNotEqual(path, file.read().strip())

    def test_device_that_is_held_open_is_not_given_out_again(self) -> None:
        volume = self.create_volume(volume_type=BLOCK)
        attachment = self.use_volume(volume)
        first = self._device(attachment)
        with open(first, 'rb'):
            self.release_volume(volume, attachment)
            attachment = self.use_volume(volume)
            self.assertNotEqual(first, self._device(attachment))
            self.release_volume(volume, attachment)

    def test_file_volume_is_attached_as_its_plain_file(self) -> None:
        volume = self.create_volume(volume_type=FILE)
        attachment = self.use_volume(volume)
        self.assertEqual(
            str(self.volume_path(volume)), self._device(attachment)
        )


class TestKeystoneSetup(base.LabTestCase):
    """What is done before Keystone starts, by whoever runs the lab."""

    def test_user_without_a_name_can_do_it(self) -> None:
        if os.geteuid():
            environment.lacks('becoming another user needs root')
        temporary = tempfile.TemporaryDirectory(dir=self.lab.directory)
        self.addCleanup(temporary.cleanup)
        home = pathlib.Path(temporary.name)
        options = home / 'keystone.conf'
        sections = [f'[database]\nconnection = sqlite:///{home}/db\n']
        for name in 'fernet_tokens', 'fernet_receipts', 'credential':
            sections.append(f'[{name}]\nkey_repository = {home}/{name}\n')
        options.write_text(''.join(sections))
        os.chown(home, NAMELESS, NAMELESS)
        python = str(self.lab.directory / 'venv/bin/python')
        user = str(NAMELESS)
        done = subprocess.run(
            [
                *(python, lab.TREE / 'tools/lablib/confine.py'),
                *(user, user, user, self.lab.directory),
                *(python, '-m', 'labcloud.keystone_setup', options),
            ],
            env={'OS_BOOTSTRAP_PASSWORD': 'secret', 'HOME': str(home)},
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        for name in 'fernet_tokens', 'credential':
            keys = [*(home / name).iterdir()]
            self.assertEqual([NAMELESS] * 2, [k.stat().st_uid for k in keys])


class TestProgram(base.LabTestCase):
    """tools/lab itself."""

    def test_every_service_is_running(self) -> None:
        states = {s['name']: s['state'] for s in self.lab.status()['services']}
        self.assertEqual({'running'}, set(states.values()), states)

    def test_up_of_a_running_lab_starts_nothing_again(self) -> None:
        before = self._processes()
        self.lab.run('up')
        self.assertEqual(before, self._processes())

    def test_killed_service_is_started_again_by_up(self) -> None:
        name = self.lab.service('keystone')
        # Of a test before, which changed the configuration of a service,
        # others may still be out of date.
        self.lab.run('up')
        before = self._processes()
        self.lab.run('kill', name)
        self.assertIsNone(self._processes()[name])
        self.lab.run('up')
        after = self._processes()
        self.assertIsNotNone(after.pop(name))
        before.pop(name)
        self.assertEqual(before, after)

    def test_started_service_is_ready_at_once(self) -> None:
        # Cinder's scheduler may refuse backups for a minute after a start.
        volume = self.create_volume(volume_type=FILE)
        self.lab.run('restart', self.lab.service('cinder-backup'))
        self.backup(volume)

    def test_services_listen_on_loopback_only(self) -> None:
        listeners = {
            service['name']: sockets.listening(service['pid'])
            for service in self.lab.status()['services']
        }
        self.assertTrue(listeners[self.lab.service('cinder-api')])
        for found in listeners.values():
            for address, _port in found:
                self.assertTrue(address.is_loopback, listeners)

    def test_logs_end_with_what_was_said_last(self) -> None:
        end = (self.lab.directory / 'log/keystone.log').read_text()[-80:]
        self.assertIn(end, self.lab.run('logs', 'keystone'))

    def test_logs_are_those_of_all_services(self) -> None:
        printed = self.lab.run('logs')
        for service in self.lab.status()['services']:
            self.assertIn(f'==> {service["log"]} <==', printed)

    def test_logs_of_nobody_are_an_error(self) -> None:
        error = self.assertRaises(
            subprocess.CalledProcessError, self.lab.run, 'logs', 'nobody'
        )
        self.assertEqual(1, error.returncode)

    def test_volume_path_is_printed(self) -> None:
        volume = self.create_volume(volume_type=FILE)
        printed = self.lab.run('volume-path', volume)
        self.assertEqual(f'{self.volume_path(volume)}\n', printed)

    def test_projects_do_not_see_each_other(self) -> None:
        volume = self.create_volume(volume_type=FILE)
        self.assertRaises(
            sdk_errors.NotFoundException,
            self.other.block_storage.get_volume,
            volume,
        )

    def _processes(self) -> dict[str, int | None]:
        return {s['name']: s['pid'] for s in self.lab.status()['services']}
