# SPDX-License-Identifier: Apache-2.0
"""Volumes that Cinder exports to the proxy by iSCSI, in profile ceph.

The proxy reaches them through QEMU, since neither the kernel nor Cinder's own
host need an initiator then. The target is a real one, in user space. Where a
lab has Ceph its Python has libnbd.
"""

import os
import pathlib
import secrets
import shutil
import unittest

from tests import block_target
from tests import debian
from tests import environment
from tests.functional import base
from tests.functional import connector_case
from tests.functional import fault_case
from tests.functional import lab

MIB = base.MIB
USER = 'proxy'
INITIATOR = 'iqn.2026-11.org.openstack.ebackup:lab'


class TestIscsi(connector_case.ConnectorCase, fault_case.FaultTestCase):
    helper: connector_case.Helper
    target: block_target.Tgtd
    password: str
    processes: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        current = lab.current()
        if current.profile != 'ceph':
            raise unittest.SkipTest("the lab's environment has no libnbd")
        debian.need('python3-libnbd', 'libnbdmod', 'nbd')
        block_target.need()
        if not any(pathlib.Path('/usr/lib').glob('*/qemu/block-iscsi.so')):
            environment.lacks('qemu-block-extra is not installed')
        cls.password = secrets.token_hex(8)
        cls.start_target(current)
        cls.processes = current.directory / 'state/ebackup/qemu'
        cls.helper = connector_case.Helper(
            {
                'proxy': {
                    # Neither os-brick nor its helper has a part in it.
                    'privsep_helper': '',
                    'iscsi_initiator': 'qemu',
                    # Only what is allocated is read, 4 MiB at a time.
                    'max_bytes_per_second': MIB // 8,
                },
                'nbd': {'process_directory': cls.processes},
            },
            cinder={
                cls.BACK_END: {
                    'lab_iscsi_portal': cls.target.portal,
                    'lab_iscsi_control': cls.target.control,
                    'lab_iscsi_user': USER,
                    'lab_iscsi_password': cls.password,
                }
            },
        )
        cls.addClassCleanup(cls.helper.cleanUp)
        cls.helper.setUp()

    @classmethod
    def start_target(cls, current: lab.Lab) -> None:
        directory = current.directory / 'state/tgtd'
        directory.mkdir(mode=0o700)
        cls.addClassCleanup(shutil.rmtree, directory)
        portal = f'127.0.0.1:{current.spare_port}'
        cls.target = block_target.Tgtd(str(directory), portal)
        cls.addClassCleanup(cls.target.cleanUp)
        cls.target.setUp()
        account = ('--user', USER, '--password', cls.password)
        cls.target.tell('account', 'new', *account)

    def daemons(self) -> list[str]:
        """Directories of QEMU's processes that nobody has removed."""
        return [path.name for path in self.processes.glob('qemu-*')]

    def assert_nothing_left(self) -> None:
        # Its end Cinder has been asked for when the backup is available.
        self.wait_for(
            lambda: 'Target' not in self.target.targets(), 'no target is left'
        )
        self.assertEqual([], self.daemons())
        self.wait_for(
            lambda: not commands(str(self.processes)), 'no QEMU is left'
        )
        # By QEMU it was, and nothing else.
        self.assert_attached(0)

    def test_backups_of_which_one_is_killed_and_a_restore(self) -> None:
        first = self.start_backup(self.volume)
        job = self.wait_for_progress(first, 'backup')
        self.assertIn(f'Initiator: {INITIATOR}', self.target.targets())
        [daemon] = self.daemons()
        self.assertNotEqual([], commands(f'/{daemon}/'))
        self.assertEqual([], commands(self.password))
        self.end('kill', 'ebackup-proxy')
        self.wait_for(
            lambda: not commands(str(self.processes)), 'QEMU has ended as well'
        )
        self.assertEqual([daemon], self.daemons())
        del self.helper.options['proxy']['max_bytes_per_second']
        self.helper.write()
        self.lab.run('up')
        self.wait_for_backup(first, 'available')
        self.assertEqual(2, self.job(job['id'])['runs'])
        self.assert_nothing_left()

        self.write(self.volume, 40 * MIB, os.urandom(64 * 1024))
        changed = self.sha256(self.volume)
        second = self.backup(self.volume)
        [job] = self.jobs(second, 'backup')
        self.assertEqual('incremental', job['result']['kind'])
        # All that is allocated: nobody says what of it has changed.
        self.assertLess(8 * MIB, job['result']['bytes_read'])
        self.assertLess(job['result']['bytes_read'], 16 * MIB)
        self.assertEqual(1, job['result']['chunks_stored'])

        for backup, digest in (first, self.digest), (second, changed):
            self.restore(backup, self.volume)
            self.assertEqual(digest, self.sha256(self.volume))
        self.assert_nothing_left()
        self.assert_nowhere(self.password)


def commands(text: str) -> list[str]:
    """Return the command lines and environments of processes with the text."""
    found = []
    for directory in pathlib.Path('/proc').glob('[0-9]*'):
        for name in 'cmdline', 'environ':
            try:
                content = (directory / name).read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if text.encode() in content:
                found.append(f'{directory.name} {name}')
    return found
