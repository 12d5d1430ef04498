# SPDX-License-Identifier: Apache-2.0
"""The main job, as a user does it, with proof that the bytes are right.

Backing up and restoring go through plain `openstack volume ...` commands.
What is compared is taken from the volume's own file, by sha256sum, before the
backup: nothing of eBackup has a hand in it.
"""

import dataclasses
import os
import shlex
import shutil
import subprocess
import time
from typing import Any
import uuid

from lablib import configuration
from lablib import console
from lablib import demo_volume
from lablib import filesystem
from lablib import lab as lab_module
from lablib import report
from lablib import rest
from lablib import table

_FILES = 300_000_000
_CHANGE = 20_000_000
# What a change may take in the repository: random bytes, and what a file
# system writes besides.
_STORED = range(_CHANGE * 9 // 10, _CHANGE * 2)
# Seconds.
_TIMEOUT = 300
_PREFIX = 'demo-'


@dataclasses.dataclass
class Backup:
    name: str
    id: str
    sha256: str


class Demo:
    def __init__(self, lab: lab_module.Lab) -> None:
        self._lab = lab
        self._cinder = rest.client(lab, 'demo')
        self._tag = _PREFIX + uuid.uuid4().hex[:6]
        self._work = lab.directory / 'demo'
        self._copies = lab.directory / 'demo-copies'
        self._environment = os.environ | report.variables(lab, 'demo')
        self._lines: list[table.Line] = []
        self._last = ''

    def run(self) -> bool:
        """Return whether all that was restored equals what was backed up."""
        self._remove_leftovers()
        volume = self._create_volume()
        disk = demo_volume.find(self._lab, volume, self._copies)
        with console.step('making ext4 with files of /usr/share'):
            filesystem.make(disk.path, self._work, _FILES)
        backups = [self._backup(disk, 'full')]
        for name in 'second', 'third':
            with console.step('changing files (debugfs)'):
                filesystem.change(disk.path, self._work, name, _CHANGE)
            backups.append(self._backup(disk, name))
        self._delete(backups.pop(1))
        for backup in backups:
            self._restore(backup, None)
        with console.step('changing files once more'):
            filesystem.change(disk.path, self._work, 'unwanted', _CHANGE)
            disk.store()
        self._restore(backups[-1], volume)
        self._remove_copies()
        print(table.text(self._lines))
        return all(line.verdict in ('', 'same') for line in self._lines)

    def _openstack(self, *arguments: str) -> str:
        console.say(f'  $ openstack {shlex.join(arguments)}')
        done = subprocess.run(
            [self._lab.binary('openstack'), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise console.Problem(f'it failed: {done.stderr.strip()}')
        return done.stdout.strip()

    def _create_volume(self) -> str:
        kind = configuration.volume_types(self._lab)[0]
        volume = self._openstack(
            *('volume', 'create', '--size', '1', '--type', kind),
            *('-f', 'value', '-c', 'id', self._tag),
        )
        self._wait('volumes', volume)
        return volume

    def _backup(self, disk: demo_volume.Volume, name: str) -> Backup:
        changed = disk.store()
        with console.step('sha256sum of the volume'):
            digest = disk.sha256()
        if digest == self._last:
            raise console.Problem('nothing was changed on the volume')
        first, self._last = not self._last, digest
        on_volume = disk.path.stat().st_blocks * 512
        full_name = f'{self._tag}-{name}'
        backup = self._openstack(
            *('volume', 'backup', 'create', '--name', full_name),
            *('-f', 'value', '-c', 'id', self._tag),
        )
        with console.step('waiting for the backup'):
            self._wait('backups', backup)
        image = self._ebackup(f'/v1/images/{backup}')['image']
        if not first:
            _check_incremental(image)
        job = self._ebackup(f'/v1/jobs/{image["job_id"]}')['job']
        self._lines.append(
            table.Line(
                f'backup {name} ({image["kind"]})',
                on_volume=on_volume,
                changed=changed,
                read=image['bytes_read'],
                stored=image['bytes_stored'],
                seconds=table.seconds(job),
            )
        )
        return Backup(full_name, backup, digest)

    def _delete(self, backup: Backup) -> None:
        self._openstack('volume', 'backup', 'delete', backup.name)
        with console.step('waiting until it is gone'):
            self._wait('backups', backup.id, None)
        name = backup.name.removeprefix(self._tag + '-')
        self._lines.append(table.Line(f'delete {name}'))

    def _restore(self, backup: Backup, volume: str | None) -> None:
        """Restore to that volume, in place, or to a new one; compare."""
        name = backup.name.removeprefix(self._tag + '-')
        command = ['volume', 'backup', 'restore', backup.name]
        if volume is None:
            where = 'to a new volume'
            command.append(f'{self._tag}-{name}-restored')
        else:
            where = 'in place'
            command += [self._tag, '--force']
        printed = self._openstack(*command, '-f', 'value', '-c', 'volume_id')
        restored = volume or printed
        with console.step('waiting for the restore'):
            self._wait('backups', backup.id)
            self._wait('volumes', restored)
        disk = demo_volume.find(self._lab, restored, self._copies)
        with console.step('sha256sum and e2fsck of what was restored'):
            same = disk.sha256() == backup.sha256
            if same:
                filesystem.check(disk.path)
        job = self._restore_job(backup.id)
        result = job.get('result') or {}
        self._lines.append(
            table.Line(
                f'restore {name} {where}',
                on_volume=disk.path.stat().st_blocks * 512,
                read=result.get('bytes_read'),
                written=result.get('bytes_written'),
                seconds=table.seconds(job),
                verdict='same' if same else 'DIFFERENT',
            )
        )

    def _restore_job(self, image: str) -> dict[str, Any]:
        path = f'/v1/jobs?kind=restore&image_id={image}'
        jobs = self._ebackup(path)['jobs']
        return max(jobs, key=lambda job: job['created_at'], default={})

    def _ebackup(self, path: str) -> Any:
        return rest.client(self._lab).get('ebackup', path)

    def _wait(
        self, kind: str, resource: str, wanted: str | None = 'available'
    ) -> None:
        """Wait for a status of Cinder's; None: until the thing is gone."""
        deadline = time.monotonic() + _TIMEOUT
        while True:
            try:
                answer = self._cinder.get('cinder', f'/v3/{kind}/{resource}')
                found = answer[kind[:-1]]
            except rest.Failure as failure:
                if failure.code != 404:
                    raise
                found = {'status': None}
            status = found['status']
            if status == wanted:
                return
            late = time.monotonic() > deadline
            if late or status is None or status.startswith('error'):
                raise console.Problem(
                    f'{kind[:-1]} {resource} is {status}: '
                    f'{found.get("fail_reason")}; see {self._lab.log}'
                )
            time.sleep(0.3)

    def _remove_leftovers(self) -> None:
        """Remove what earlier runs have left, as far as it lets itself."""
        self._remove_copies()
        for kind in 'backups', 'volumes':
            listed = self._cinder.get('cinder', f'/v3/{kind}')[kind]
            for entry in listed:
                if not (entry['name'] or '').startswith(_PREFIX):
                    continue
                path = f'/v3/{kind}/{entry["id"]}'
                try:
                    self._cinder.call('cinder', 'DELETE', path)
                except rest.Failure as failure:
                    console.say(f'  left alone: {failure}')

    def _remove_copies(self) -> None:
        shutil.rmtree(self._copies, ignore_errors=True)


def run(lab: lab_module.Lab) -> int:
    """Return an exit code."""
    started = time.monotonic()
    good = Demo(lab).run()
    verdict = 'every byte is right' if good else 'BYTES DIFFER'
    print(f'{verdict}; took {time.monotonic() - started:.0f} s')
    return 0 if good else 1


def _check_incremental(image: dict[str, Any]) -> None:
    kind, stored = image['kind'], image['bytes_stored']
    if kind != 'incremental' or stored not in _STORED:
        raise console.Problem(
            f'backup {image["id"]} is {kind} and stored {stored} bytes, where '
            f'some {_CHANGE} were changed'
        )
