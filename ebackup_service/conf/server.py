# SPDX-License-Identifier: Apache-2.0
"""Options of the backup server: section [server]."""

import socket

from oslo_config import cfg

GROUP = 'server'
OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'host',
        default=socket.gethostname(),
        sample_default='<host name>',
        help='Name of this server on the message bus.',
    ),
    cfg.FloatOpt(
        'tick',
        default=1.0,
        min=0.01,
        help='Seconds between two looks at what is to be done: jobs to be '
        'dispatched, leases that are over.',
    ),
    cfg.FloatOpt(
        'lease',
        default=15.0,
        min=0.1,
        # Clocks differ by 1 % in speed, which is to be half of the margin.
        max=100,
        help='Seconds for which a proxy may work on a job without the '
        'server hearing from it. After that the proxy stops by itself and '
        'the server gives the job up, two seconds later: in a longer lease '
        'the clocks of the two could come apart by as much.',
    ),
    cfg.FloatOpt(
        'proxy_timeout',
        default=15.0,
        min=0.1,
        help='Seconds without an announcement after which a proxy gets no '
        'new jobs.',
    ),
    cfg.FloatOpt(
        'heartbeat_timeout',
        default=10.0,
        min=0.1,
        help='Seconds without a heartbeat of the backup driver after which '
        'its job stops, and waits. That cinder-backup has ended is seen at '
        'once, by its lock on the volume; this is for one that hangs, or can '
        'not reach the API. Where volumes can not be locked, cinder-backup '
        'must not start again sooner than this and two seconds after it '
        'ended.',
    ),
    cfg.FloatOpt(
        'resume_timeout',
        default=60.0,
        min=0.1,
        help='Seconds that a job waits for a heartbeat of its backup driver, '
        'and for a proxy that was there before, until it fails. Nothing is '
        'read or written meanwhile. Less than service_timeout of the drivers '
        'would be less than they wait.',
    ),
    cfg.IntOpt(
        'max_runs',
        default=5,
        min=1,
        help='How often a job is begun, in all, before its interruption is '
        'its failure. Handed out to proxies in vain more often than that, it '
        'fails, too.',
    ),
    cfg.FloatOpt(
        'attachment_timeout',
        default=60.0,
        min=0.1,
        help='Seconds that a reserved job waits for the backup driver to '
        'say where the data can be reached, before it fails.',
    ),
    cfg.FloatOpt(
        'login_pause',
        default=300.0,
        min=0,
        help='Seconds for which nobody logs in to a production storage that '
        'has refused its credentials, so that no account gets locked: jobs '
        'of its volumes fail at once; or, if what was refused is not in the '
        "catalog but on a proxy's host, go to other hosts. Each further time "
        'twice as many, up to an hour. Let it be longer than the time in '
        'which the storage counts failed logins, divided by how many of them '
        'it allows. 0 means that each job logs in.',
    ),
    cfg.FloatOpt(
        'gc_interval',
        default=3600.0,
        min=0,
        help='Seconds between two garbage collections of a repository; 0 '
        'means that it is collected on request only.',
    ),
    cfg.FloatOpt(
        'gc_whole_interval',
        default=604800.0,
        min=0,
        help='Seconds after which a garbage collection looks at everything '
        'again, as one on request does, instead of what has changed since '
        'the last one. 0 means that each does.',
    ),
    cfg.FloatOpt(
        'verify_interval',
        default=86400.0,
        min=0,
        help='Seconds between two verifications of a repository, each of '
        'which reads a part of its data and compares it with what was '
        'stored; 0 means that it is verified on request only.',
    ),
    cfg.FloatOpt(
        'verify_fraction',
        default=0.04,
        min=0.000001,
        max=1,
        help='Which part of the data each of these reads: that which was '
        'not read for longest. With the defaults all data is read within 25 '
        'days.',
    ),
    cfg.IntOpt(
        'max_jobs',
        default=0,
        min=0,
        help='Backups and restores that run at the same time on all proxies '
        'together; 0 means no limit. Jobs of other kinds are bounded by the '
        'proxies only.',
    ),
    cfg.IntOpt(
        'max_unfinished_jobs',
        default=1000,
        min=1,
        help='Backups and restores that wait or run at the same time, in the '
        'whole service. More are refused when they are asked for.',
    ),
    cfg.IntOpt(
        'job_retention_days',
        default=90,
        min=0,
        help='Days after which a job that has ended is forgotten: listed no '
        'more, its row removed. 0 means never. Images stay.',
    ),
    cfg.StrOpt(
        'availability_zone_mismatch',
        default='record',
        choices=[
            ('record', 'Log it, note it in the job, and restore.'),
            ('refuse', 'Refuse the restore.'),
        ],
        help='What happens when an image is to be restored to a volume of '
        'another availability zone than its own. Cinder creates the volume '
        'of a restore in its default zone.',
    ),
    cfg.ListOpt(
        'enabled_storages',
        default=[],
        help='Names of production storages that are registered when the '
        'server starts, each as the section of its name says: kind, backends, '
        'trust, anchors, and what a storage of that kind is set with. The '
        'same on all servers.',
    ),
    cfg.StrOpt(
        'key_file',
        help='File with the keys that encrypt the credentials of production '
        'storages in the catalog: the first one encrypts, all decrypt. The '
        'same for all servers and APIs, readable for the user of the service '
        'only. If it is not set, and the catalog is an sqlite file, a file '
        'ebackup.keys is made beside that.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP, OPTS)]
