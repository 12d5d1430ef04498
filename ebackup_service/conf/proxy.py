# SPDX-License-Identifier: Apache-2.0
"""Options of the backup proxy: section [proxy]."""

import socket

from oslo_config import cfg

GROUP = 'proxy'
OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'host',
        default=socket.gethostname(),
        sample_default='<host name>',
        help='Name of this proxy. It has to equal what the backup driver '
        'calls the host on which it runs, so that a volume attached there '
        'is read by the proxy there.',
    ),
    cfg.ListOpt(
        'attached_roots',
        default=['/dev'],
        help='Directories below which an attached device or file has to '
        'be. The proxy opens nothing outside of them.',
    ),
    cfg.StrOpt(
        'privsep_helper',
        help="Command that starts os-brick's helper as root, such as "
        '"sudo /opt/ebackup/bin/privsep-helper". With it this proxy attaches '
        'volumes of storages of kind connector; without it, none, but iSCSI '
        'LUNs if iscsi_initiator is qemu.',
    ),
    cfg.StrOpt(
        'iscsi_initiator',
        default='auto',
        choices=[
            ('auto', 'that of the kernel, if it has one'),
            ('kernel', 'that of the kernel, by os-brick and open-iscsi'),
            ('qemu', 'that of QEMU: a qemu-storage-daemon for each volume'),
        ],
        help='By which initiator this proxy reaches iSCSI LUNs that Cinder '
        'exports for storages of kind connector. QEMU needs libnbd, '
        'qemu-storage-daemon and its iSCSI driver, and neither a module of '
        'the kernel nor multipathd: it uses the first path that works. With '
        'qemu a proxy without privsep_helper has jobs of storages of kind '
        'connector, too; volumes that Cinder exports to it in other ways than '
        'by iSCSI it refuses.',
    ),
    cfg.FloatOpt(
        'attach_timeout',
        default=180.0,
        min=1,
        help='Seconds that os-brick has to attach a volume, before the job '
        'fails, and to detach it, before the job ends without that. What it '
        'attaches later is detached at once.',
    ),
    cfg.IntOpt(
        'max_jobs',
        default=4,
        min=1,
        help='Backups and restores that this proxy runs at the same time, and '
        'as many jobs of other kinds besides; fewer, if memory does not '
        'suffice for so many: a job takes 46 MiB of it, and 90 MiB where '
        'volumes may be images in Ceph.',
    ),
    cfg.IntOpt(
        'memory',
        default=256 << 20,
        min=128 << 20,
        help='Bytes of memory that ebackup-proxy takes, files of the page '
        'cache not counted, with all its jobs together. It bounds how many '
        'workers of all jobs work at the same time.',
    ),
    cfg.IntOpt(
        'workers',
        default=0,
        min=0,
        help='Threads that deal with the data of one job, if memory suffices '
        'for so many; 0 means one for each processor core, and one more where '
        'they wait for a storage, so that none is idle.',
    ),
    cfg.IntOpt(
        'checkpoint_size',
        default=1 << 30,
        min=1 << 20,
        max=16 << 30,
        help='Bytes that a backup reads again, at most, after an '
        'interruption: those since its last checkpoint, and 256 chunks that '
        'each worker may be ahead of the next one. There are at least 256 '
        'chunks from a checkpoint to the next: if 256 chunks for each worker, '
        'and 256 more, are more than this, that is what is read again. With '
        'many workers or large chunks, more of it makes checkpoints, each of '
        'which takes some of a tenth of a second, less frequent.',
    ),
    cfg.IntOpt(
        'max_bytes_per_second',
        default=0,
        min=0,
        help='Bytes per second that all jobs of this proxy together read '
        'from or write to volumes, or read to verify or compact a repository; '
        '0 means no limit.',
    ),
    cfg.IntOpt(
        'compaction_percent',
        default=25,
        min=0,
        max=90,
        help='A garbage collection that looks at everything copies what is '
        'needed of a pack, and removes the pack, if that is at most so many '
        'percent of it; 0 means that packs stay as they are.',
    ),
    cfg.IntOpt(
        'compaction_size',
        default=64 << 30,
        min=0,
        help='Bytes that one such collection copies, at most; the packs that '
        'give back most come first, the others next time.',
    ),
    cfg.FloatOpt(
        'announce_interval',
        default=3.0,
        min=0.01,
        help='Seconds between two announcements of this proxy to the '
        'server. Keep it well below [server]proxy_timeout.',
    ),
    cfg.FloatOpt(
        'shutdown_timeout',
        default=20.0,
        min=0,
        help='Seconds that running jobs get to end when the process is '
        'told to stop; those that remain go on when it is back, backups from '
        'a checkpoint that they make meanwhile.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP, OPTS)]
