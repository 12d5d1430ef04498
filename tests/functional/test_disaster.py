# SPDX-License-Identifier: Apache-2.0
"""Both databases are lost, and made again from the repository alone.

Follows doc/source/admin/disaster.rst; the numbers are those of its steps. Of
Cinder's database backups are lost, and one of two volumes with its snapshot.
"""

import json
import os
import pathlib
import shutil
import subprocess
import textwrap
from typing import Any

from tests.functional import base
from tests.functional import cinder_database
from tests.functional import ebackup_case
from tests.functional import lab

MIB = base.MIB
EBACKUP = (
    'ebackup-api',
    'ebackup-server',
    'ebackup-server-2',
    'ebackup-proxy',
)


class DisasterTestCase(ebackup_case.EBackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.repository = self.call('GET', '/v1/repositories/default')[
            'repository'
        ]
        self.volume, self.lost = self.create_volume(), self.create_volume()
        self.digests: dict[str, str] = {}
        for volume in self.volume, self.lost:
            for number in range(2):
                self.write(volume, number * 10 * MIB, os.urandom(8 * MIB))
                digest = self.sha256(volume)
                fields = {}
                if volume == self.lost and number:
                    fields['snapshot_id'] = self.create_snapshot(volume)
                    self.snapshot = fields['snapshot_id']
                self.digests[self.backup(volume, **fields)] = digest
        # The newest of its chain, so that only its tombstone knows of it.
        self.deleted = self.backup(self.volume)
        self.generation = self.image(self.deleted)['generation']
        self.delete_backup(self.deleted)

    # What the operator types

    def manage(self, *arguments: str) -> Any:
        """Return what `ebackup-manage … --json` prints."""
        return json.loads(self.manage_text(*arguments, '--json'))

    def manage_text(self, *arguments: str) -> str:
        """Return what `ebackup-manage` prints, run as the service's user."""
        file = self.lab.directory / 'etc/ebackup.conf'
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            uid = self._owner()
            user = {'user': uid, 'group': uid, 'extra_groups': []}
        return self._run(
            *(self._program('ebackup-manage'), '--config-file', file),
            *arguments,
            cwd='/',
            env={'PATH': os.environ['PATH']},
            **user,
        )

    def _owner(self) -> int:
        return (self.lab.directory / 'state/ebackup').stat().st_uid

    def script(self) -> str:
        """Return the commands of the document's step 8."""
        text = (lab.TREE / 'doc/source/admin/disaster.rst').read_text()
        _, _, block = text.partition('.. code-block:: bash\n\n')
        return textwrap.dedent(block.partition('\n\n(')[0])

    def _run(self, *command: Any, **how: Any) -> str:
        done = subprocess.run(command, capture_output=True, text=True, **how)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def _program(self, name: str) -> pathlib.Path:
        return self.lab.directory / 'venv/bin' / name

    def ebackup(self) -> list[str]:
        """Return the names of its services, in the order of their start."""
        return [*dict.fromkeys(map(self.lab.service, EBACKUP))]

    # What is lost

    def lose_the_catalog(self) -> None:
        if not self.lab.separate:
            for path in self.lab.directory.glob('state/ebackup/*.sqlite*'):
                path.unlink()
            return
        file = self.lab.directory / 'etc/ebackup.conf'
        command = [self._program('python'), '-m', 'labcloud.empty_database']
        subprocess.run([*command, file], check=True)

    def lose_cinders_records(self) -> None:
        for backup in self.digests:
            cinder_database.forget_backup(self.lab, backup)
        path = self.volume_path(self.lost)
        cinder_database.forget_volume(self.lab, self.lost)
        path.unlink()
        path.with_name(f'snapshot-{self.snapshot}').unlink()

    # What is made of it

    def test_everything_comes_back(self) -> None:
        self.addCleanup(self.lab.run, 'up')
        cinder = self.lab.service('cinder-backup')
        for service in [cinder, *reversed(self.ebackup())]:  # 1
            self.lab.run('stop', service)
        self.lose_the_catalog()
        self.lose_cinders_records()
        self.manage('db', 'sync')  # 2
        self.manage(  # 3
            *('repository', 'takeover', 'default'),
            *(self.repository['url'], self.repository['id']),
        )
        for service in self.ebackup():  # 4
            self.lab.run('start', service)
        self.rebuild()  # 5
        self.manage('repository', 'check', 'default', '--wait')  # 6
        self.lab.run('start', cinder)  # 7
        self.import_records()  # 8
        self.everything_restores()  # 9
        self.deleted_stays_deleted()
        following = self.next_backup(self.volume)
        self.collect()
        check = ('repository', 'check', 'default', '--read-data', '--wait')
        self.manage(*check)
        self.digests = dict([following])
        self.everything_restores()

    def rebuild(self) -> None:
        rebuild = ('repository', 'rebuild-catalog', 'default', '--wait')
        result = self.manage(*rebuild)['job']['result']
        self.assertEqual(0, result['damaged'], result)
        found = self.call('GET', '/v1/repositories/default')['repository']
        self.assertEqual(
            ('available', self.repository['id']), (found['state'], found['id'])
        )
        for backup in self.digests:
            self.assertEqual('available', self.image(backup)['state'])
        again = self.manage(*rebuild)['job']['result']
        self.assertEqual(
            (result['images'], 0), (again['images'], again['added'])
        )

    def import_records(self) -> None:
        # Where the service's user may write, and get to.
        directory = self.lab.directory / base.unique('disaster')
        directory.mkdir()
        self.addCleanup(shutil.rmtree, directory)
        os.chown(directory, self._owner(), -1)
        self.manage_text(
            *('repository', 'export-records', 'default'),
            *('--output', f'{directory}/records'),
        )
        path = f'{self._program("")}:{os.environ["PATH"]}'
        address = self.admin.block_storage.get_endpoint()
        environment = {**self.lab.environment('admin'), 'PATH': path}
        self._run(
            *('bash', '-eu', '-c', f'before=\n{self.script()}'),
            cwd=directory,
            env={**environment, 'CINDER': address},
        )
        for backup in self.digests:
            self.wait_for_backup(backup, 'available')

    def everything_restores(self) -> None:
        for backup, digest in self.digests.items():
            self.assertEqual(digest, self.sha256(self.restore(backup)))

    def deleted_stays_deleted(self) -> None:
        answer = self.service().get(f'/v1/images/{self.deleted}')
        self.assertEqual(404, answer.status_code)
        listed = self.manage('image', 'list', '--state', 'deleted')['images']
        self.assertIn(self.deleted, [image['id'] for image in listed])

    def next_backup(self, volume: str) -> tuple[str, str]:
        """Back up what changed since; return the backup, and a hash."""
        self.write(volume, 500 * MIB, os.urandom(MIB))
        digest = self.sha256(volume)
        backup = self.backup(volume)
        image = self.image(backup)
        self.assertEqual('incremental', image['kind'])
        self.assertLess(image['bytes_stored'], 2 * MIB)
        self.assertEqual(self.generation + 1, image['generation'])
        return backup, digest
