# SPDX-License-Identifier: Apache-2.0
"""Options of repositories: section [repository]."""

from oslo_config import cfg

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Why: "Size of chunks" in doc/source/contributor/benchmarks.rst.
DEFAULT_CHUNK_SIZE = 128 * KIB

GROUP = 'repository'
OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'url',
        secret=True,
        help='Where the default repository is, for instance '
        'file:///srv/backup. Only ebackup-all reads it, when it first '
        'starts; otherwise "ebackup-manage repository create" makes '
        'repositories.',
    ),
    cfg.IntOpt(
        'chunk_size',
        default=DEFAULT_CHUNK_SIZE,
        choices=[64 * KIB << shift for shift in range(7)],
        help='Size of the chunks, in bytes, for chains that begin from now '
        'on. A chain keeps the size that it began with. Smaller ones save '
        'space where little is written at many places, as databases do; '
        'larger ones save processor time.',
    ),
    cfg.StrOpt(
        'compression',
        default='zstd',
        choices=[
            ('zstd', 'Compresses best.'),
            ('lz4', 'Costs least processor time.'),
            ('none', 'For data that does not compress.'),
        ],
        help='How chunks are compressed. A chunk that compression does not '
        'make smaller is stored as it is.',
    ),
    cfg.IntOpt(
        'compression_level',
        default=1,
        min=-7,
        max=22,
        help='Level of zstd; the others have none. 2 takes a tenth more '
        'processor time than 1, for 2 to 3 % less space.',
    ),
    cfg.IntOpt(
        'minimum_free',
        default=GIB,
        min=0,
        help='Bytes that have to be free in a repository when a backup '
        'begins; with less than that it is refused, while restores and '
        'deletions go on. It is not looked at again: if the storage is full '
        'before the backup ends, that fails, and what it has stored is '
        'removed.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP, OPTS)]
