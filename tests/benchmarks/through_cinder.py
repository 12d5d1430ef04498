# SPDX-License-Identifier: Apache-2.0
"""Backups through Cinder's API: our driver, Cinder's own, and none.

In one lab with three cinder-backup services: ours; Cinder's posix driver as it
is by default (zlib, and for an incremental, hashes of everything); and a
driver that does nothing, which takes what Cinder takes for itself. Seconds go
from the request until Cinder says that the backup is available. CPU seconds
are those of all processes of the lab, the bus and the databases included;
memory is that of cinder-backup and, for ours, of the proxy, which is given by
itself as well.
"""

import pathlib

from tests.benchmarks import cache
from tests.benchmarks import cinder_lab
from tests.benchmarks import cloud
from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import meter

NAMES = {'cinder-full': 'full', 'cinder-incremental': 'incremental'}
_TITLES = {
    'full': 'first backup through Cinder',
    'incremental': 'second backup through Cinder, 1 % changed',
}


def run(
    names: list[str], directory: pathlib.Path, size: int, rounds: int
) -> dict[str, contest.Answer]:
    volume = data.Volume(directory, 'real', size)
    volume.prepare()
    turns: list[dict[str, dict[str, contest.Figures]]] = []
    with cinder_lab.up(directory / 'lab') as (lab, pids):
        user = cloud.Cloud(lab)
        small = user.create_volume(1)
        for zone in cinder_lab.ZONES.values():
            print(f'waiting for zone {zone}', flush=True)
            user.serves(small, zone)
        large = user.create_volume(size >> 30)
        path = user.path(large)
        data.copy(volume.path, path)
        for number in range(rounds):
            print(f'cinder: round {number + 1} of {rounds}', flush=True)
            turns.append(
                {
                    name: _turn(
                        Contender(user, lab.directory, pids[name], zone),
                        *(large, volume, path),
                    )
                    for name, zone in cinder_lab.ZONES.items()
                }
            )
    return {
        name: _answer(
            f'{_TITLES[NAMES[name]]}: {volume.size >> 20} MiB, an ext4 file '
            'system',
            {
                contender: [turn[contender][NAMES[name]] for turn in turns]
                for contender in cinder_lab.ZONES
            },
        )
        for name in names
    }


class Contender:
    """One of the drivers.

    :param pids: of the processes whose memory counts, by name
    """

    def __init__(
        self,
        user: cloud.Cloud,
        home: pathlib.Path,
        pids: dict[str, int],
        zone: str,
    ) -> None:
        self.user = user
        self._meter = meter.Meter(home, pids)
        self._zone = zone

    def back_up(
        self, volume: str, path: pathlib.Path, incremental: bool
    ) -> tuple[str, contest.Figures]:
        """Id of the backup, and what it took."""
        cache.warm(path)
        cache.settle()
        backup, figures = self._meter.measure(
            lambda: self.user.back_up(volume, self._zone, incremental)
        )
        return backup, {**figures, 'volume_bytes': path.stat().st_size}


def _turn(
    contender: Contender, volume: str, source: data.Volume, path: pathlib.Path
) -> dict[str, contest.Figures]:
    """Both backups of one driver; it leaves everything as it was."""
    first, full = contender.back_up(volume, path, False)
    source.copy_changes(source.changed_path, path)
    second, incremental = contender.back_up(volume, path, True)
    source.copy_changes(source.path, path)
    for backup in second, first:
        contender.user.delete_backup(backup)
    return {'full': full, 'incremental': incremental}


def _answer(
    title: str, samples: dict[str, list[contest.Figures]]
) -> contest.Answer:
    ours, nothing = samples['ours'], samples['nothing']
    net = {
        name: [
            one['wall_seconds'] - none['wall_seconds']
            for one, none in zip(taken, nothing, strict=True)
        ]
        for name, taken in samples.items()
    }
    return {
        'title': title,
        'rounds': len(ours),
        'figures': contest.medians(ours),
        'peers': {
            name: contest.medians(samples[name])
            for name in ('posix', 'nothing')
        },
        'ratios': {
            'posix': {
                **contest.ratios(
                    samples['posix'], ours, 'wall_seconds', 'cpu_seconds'
                ),
                'net_wall_seconds': contest.ratio(net['posix'], net['ours']),
            },
            'nothing': contest.ratios(
                nothing, ours, 'wall_seconds', 'cpu_seconds'
            ),
        },
    }
