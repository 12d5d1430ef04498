# SPDX-License-Identifier: Apache-2.0
"""Volumes in Ceph through Cinder's API: our driver, and Cinder's own for Ceph.

In one lab with a Ceph, in which all of Cinder is one process: it is started
with the one driver, then with the other. Each backs a volume of its own up, of
the same bytes, and ten times what has changed of it; from the tenth of these a
new volume is made. Cinder's driver keeps backups as images, with a snapshot
for each backup, in another pool of the same Ceph, and compresses nothing; so
ours does it twice, as it is by default and (``ceph-plain-*``) without that.
Seconds go from the request until Cinder says that it is done; a restore's have
Cinder's looks at the new volume in them, one a second. CPU seconds are those
of all processes of the lab, Ceph's included; memory is that of Cinder and of
our service.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import json
import pathlib
import subprocess
import sys

from lablib import ceph
from lablib import lab as lab_module
from lablib import process as lab_process
from lablib import sparse as lab_sparse
from lablib import volumes
from tests.benchmarks import cache
from tests.benchmarks import cloud
from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import images
from tests.benchmarks import meter
from tests.benchmarks import process

_OURS, _PLAIN, _OTHER = 'ours', 'ours, uncompressed', "Cinder's for Ceph"
# What is measured, and who of ours does it.
NAMES = {
    f'{prefix}-{job}': (job, contender)
    for prefix, contender in (('ceph', _OURS), ('ceph-plain', _PLAIN))
    for job in ('full', 'incremental', 'restore')
}
_TITLES = {
    'full': 'first backup through Cinder, of a volume in Ceph',
    'incremental': 'ten backups after it, 1 % changed before each, one by one',
    'restore': 'restore of the tenth of them to a new volume',
}
_INCREMENTALS = 10
_POOL, _USER = 'backups', 'cinder-backup'
# In a lab drivers look at their jobs more often than elsewhere.
_AS_ELSEWHERE = '[ebackup]\npoll_interval = 2\n'
# Service of the lab -> options in place of those that it has.
_OPTIONS = {
    _OURS: {'cinder': _AS_ELSEWHERE, 'ebackup': ''},
    _PLAIN: {
        'cinder': _AS_ELSEWHERE,
        'ebackup': '[repository]\ncompression = none\n',
    },
    _OTHER: {
        'cinder': f"""\
[DEFAULT]
backup_driver = cinder.backup.drivers.ceph.CephBackupDriver
backup_ceph_user = {_USER}
backup_ceph_pool = {_POOL}
""",
        'ebackup': '',
    },
}
_TOOL = pathlib.Path(__file__).parents[2] / 'tools' / 'lab'
_ZONE = 'nova'


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    source = data.Volume(directory, 'real', size)
    source.prepare()
    samples: dict[str, dict[str, list[contest.Figures]]] = {}
    contenders = {NAMES[name][1] for name in names} | {_OTHER}
    with _up(directory / 'lab-ceph') as lab:
        user = cloud.Cloud(lab)
        for number in range(rounds):
            for one in sorted(contenders):
                print(
                    f'ceph: round {number + 1} of {rounds}, {one}', flush=True
                )
                turn = Turn(lab, user, source, _use(lab, one))
                for job, found in turn.run().items():
                    samples.setdefault(job, {}).setdefault(one, []).extend(
                        found
                    )
    return {
        name: _answer(*NAMES[name], size=size, samples=samples)
        for name in names
    }


class Turn:
    """One driver's."""

    def __init__(
        self,
        lab: lab_module.Lab,
        user: cloud.Cloud,
        source: data.Volume,
        pids: dict[str, int],
    ) -> None:
        self._lab = lab
        self._user = user
        self._source = source
        self._meter = meter.Meter(lab.directory, pids)

    def run(self) -> dict[str, list[contest.Figures]]:
        """Job -> what each took; it leaves nothing behind."""
        user, source = self._user, self._source
        small = user.create_volume(1)
        user.serves(small, _ZONE)
        volume = user.create_volume(source.size >> 30)
        self._write(volume, images.of_file(source.path))
        backup, full = self._measured(
            lambda: user.back_up(volume, _ZONE, False)
        )
        backups, incrementals = [backup], []
        changed = json.loads(source.changed_chunks.read_text())
        for number in range(_INCREMENTALS):
            holds = source.path if number % 2 else source.changed_path
            self._write(volume, images.of_chunks(holds, changed))
            backup, figures = self._measured(
                lambda: user.back_up(volume, _ZONE, True)
            )
            backups.append(backup)
            incrementals.append(figures)
        restored, restore = self._measured(lambda: user.restore(backups[-1]))
        if volumes.digest(self._lab, restored) != lab_sparse.digest(holds):
            raise process.Failure('the restored volume is not as it was')
        for backup in reversed(backups):
            user.delete_backup(backup)
        for one in restored, volume, small:
            user.delete_volume(one)
        return {
            'full': [full],
            'incremental': incrementals,
            'restore': [restore],
        }

    def _write(self, volume: str, pieces: images.Pieces) -> None:
        conf = pathlib.Path(ceph.conf(self._lab))
        with images.opened(conf, ceph.POOL, f'volume-{volume}') as image:
            images.write(image, pieces)

    def _measured(
        self, work: Callable[[], str]
    ) -> tuple[str, contest.Figures]:
        cache.settle()
        return self._meter.measure(work)


@contextlib.contextmanager
def _up(directory: pathlib.Path) -> Iterator[lab_module.Lab]:
    """:raises Failure: the lab is not there, or not all of it"""
    command = [sys.executable, _TOOL, '--dir', directory]
    try:
        if subprocess.run([*command, 'up', 'ceph']).returncode:
            raise process.Failure('the lab did not come up, see above')
        lab = lab_module.Lab(directory)
        _make_pool(lab)
        yield lab
    finally:
        subprocess.run([*command, 'destroy'])


def _make_pool(lab: lab_module.Lab) -> None:
    """As Ceph's documents tell to do for Cinder's driver."""
    keyring = ceph.directory(lab) / f'ceph.client.{_USER}.keyring'
    for arguments in (
        ['osd', 'pool', 'create', _POOL, '32'],
        ['osd', 'pool', 'application', 'enable', _POOL, 'rbd'],
        [
            *('auth', 'get-or-create', f'client.{_USER}', '-o', keyring),
            *('mon', 'profile rbd', 'osd', f'profile rbd pool={_POOL}'),
        ],
    ):
        subprocess.run(
            ['ceph', '--conf', ceph.conf(lab), *arguments],
            check=True,
            capture_output=True,
        )


def _use(lab: lab_module.Lab, contender: str) -> dict[str, int]:
    """Start what it needs; the processes whose memory counts."""
    command = [sys.executable, _TOOL, '--dir', lab.directory]
    for service, options in _OPTIONS[contender].items():
        (lab.etc / f'{service}.d' / 'contender.conf').write_text(options)
        if subprocess.run([*command, 'restart', service]).returncode:
            raise process.Failure(f'{service} did not come up, see above')
    names = ['cinder'] if contender == _OTHER else ['cinder', 'ebackup']
    pids = {name: lab_process.Process(lab.run, name).pid for name in names}
    return {name: pid for name, pid in pids.items() if pid is not None}


def _answer(
    job: str,
    contender: str,
    size: int,
    samples: dict[str, dict[str, list[contest.Figures]]],
) -> contest.Answer:
    ours, other = samples[job][contender], samples[job][_OTHER]
    bytes_ = {'volume_bytes': size}
    how = '' if contender == _OURS else ', uncompressed'
    return {
        'title': f'{_TITLES[job]}{how}: {size >> 20} MiB, an ext4 file system',
        'rounds': len(ours),
        'figures': contest.medians(ours) | bytes_,
        'peers': {_OTHER: contest.medians(other) | bytes_},
        'ratios': {
            _OTHER: contest.ratios(other, ours, 'wall_seconds', 'cpu_seconds')
        },
    }
