# SPDX-License-Identifier: Apache-2.0
"""Volumes that a qemu-storage-daemon has open for a guest, in profile ceph.

Cinder knows them as volumes of its back end "file"; the proxy reaches them
through the daemon's NBD server, and has it take snapshots.
"""

import random
import shutil
import subprocess
from typing import Any

from tests import debian
from tests import environment
from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
CHUNK = base.CHUNK


class TestNbd(ebackup_case.EBackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        if self.lab.profile != 'ceph':
            self.skipTest("the lab's environment has no libnbd")
        if not shutil.which('qemu-storage-daemon'):
            environment.lacks('qemu-storage-daemon is not installed')
        debian.need('python3-libnbd', 'libnbdmod', 'nbd')
        self.random = random.Random(self.id())
        self.volume = self.create_volume(volume_type='file')
        self.name = f'volume-{self.volume}'
        self.directory = self.lab.directory / 'state/ebackup/nbd'
        # From a run that was interrupted.
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.addCleanup(shutil.rmtree, self.directory)
        # The daemon is root here, and the proxy is not.
        self.directory.chmod(0o777)
        self.start_daemon()
        self.register()

    def start_daemon(self) -> None:
        self.socket = self.directory / 'nbd'
        monitor = self.directory / 'qmp'
        path = self.volume_path(self.volume)
        daemon = subprocess.Popen(
            [
                'qemu-storage-daemon',
                '--blockdev',
                f'driver=file,node-name=file,filename={path},discard=unmap',
                '--blockdev',
                'driver=raw,node-name=volume,file=file,discard=unmap',
                '--nbd-server',
                f'addr.type=unix,addr.path={self.socket},max-connections=0',
                '--export',
                'type=nbd,id=guest,node-name=volume,writable=on,'
                f'name={self.name}',
                '--chardev',
                f'socket,id=monitor,path={monitor},server=on,wait=off',
                '--monitor',
                'chardev=monitor',
            ],
            stdin=subprocess.DEVNULL,
        )
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        for path in self.socket, monitor:
            self.wait_for(path.exists, f'{path} is there')
            path.chmod(0o777)

    def register(self) -> None:
        options = self.lab.directory / 'etc/ebackup.d/nbd.conf'
        options.write_text(
            f'[nbd]\nsocket_roots = {self.directory}\n'
            f'scratch_directory = {self.directory}\n'
        )
        self.addCleanup(self.lab.run, 'up')
        self.addCleanup(options.unlink)
        self.lab.run('up')
        name = base.unique('storage')
        self.call(
            'POST',
            '/v1/storages',
            storage={
                'name': name,
                'kind': 'nbd',
                'backends': ['lab@file'],
                'settings': {
                    'uri': f'nbd+unix:///{{name}}?socket={self.socket}',
                    'qmp_socket': str(self.directory / 'qmp'),
                    'qmp_file': str(self.volume_path(self.volume).parent)
                    + '/{name}',
                },
            },
        )
        self.addCleanup(self.forget, f'/v1/storages/{name}')

    def forget(self, storage: str) -> None:
        """Once the last anchor is gone; until then it is refused."""
        self.wait_for(
            lambda: self.service().delete(storage).status_code == 204,
            f'{storage} is not used any more',
        )

    def guest_writes(self, offset: int, length: int) -> None:
        import nbd

        guest = nbd.NBD()
        guest.set_export_name(self.name)
        guest.connect_unix(str(self.socket))
        guest.pwrite(self.random.randbytes(length), offset)
        guest.flush()
        guest.shutdown()

    def result(self, backup: str, kind: str = 'backup') -> dict[str, Any]:
        job = self.jobs(backup, kind)[0]
        self.assertEqual('succeeded', job['state'], job)
        return job['result']

    def test_only_what_a_guest_changed_is_read(self) -> None:
        for offset in (0, 100 * MIB, base.GIB - 4 * MIB):
            self.guest_writes(offset, 4 * MIB)
        digest = self.sha256(self.volume)
        first = self.backup(self.volume)
        self.assertLessEqual(self.result(first)['bytes_read'], 16 * MIB)
        for offset in (MIB, 101 * MIB, 500 * MIB):
            self.guest_writes(offset, CHUNK)
        changed = self.sha256(self.volume)
        second = self.backup(self.volume, incremental=True)
        result = self.result(second)
        self.assertEqual('named', result['changes'])
        self.assertEqual(3 * CHUNK, result['bytes_read'])
        # The daemon exports no other volume to restore to. This one is a
        # plain file, and Cinder truncates that: all of it is written, and the
        # next backup asks for no difference that has missed it.
        self.guest_writes(2 * MIB, CHUNK)
        for backup, wanted in ((first, digest), (second, changed)):
            self.restore(backup, self.volume)
            self.assertEqual(wanted, self.sha256(self.volume))
            self.assertNotIn('changes', self.result(backup, 'restore'))
        following = self.backup(self.volume)
        result = self.result(following)
        self.assertEqual('compared', result['changes'])
        self.assertEqual(0, result['chunks_stored'])
