# SPDX-License-Identifier: Apache-2.0
"""Options of production storages of kind nbd: section [nbd]."""

from oslo_config import cfg

GROUP = 'nbd'
OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        'socket_roots',
        default=['/run/ebackup/sockets'],
        help='Directories below which UNIX sockets have to be that a storage '
        'of kind nbd is registered with. The proxy connects to nothing else '
        'on its host that way.',
    ),
    cfg.StrOpt(
        'tls_certificates',
        default='/etc/pki/libnbd',
        help='Directory with ca-cert.pem, by which this proxy knows servers '
        'with nbds:// of a storage that is registered without a pre-shared '
        "key, and, if servers ask for a client's certificate, with "
        'client-cert.pem and client-key.pem.',
    ),
    cfg.StrOpt(
        'scratch_directory',
        default='/var/lib/ebackup/scratch',
        help='Where QEMU keeps what its guests overwrite while a snapshot is '
        'read. It has to be the same directory for QEMU and the proxy, and '
        'both have to make and remove files there. When it is full, writes '
        'of guests fail: it needs room for what they write during a backup.',
    ),
    cfg.StrOpt(
        'process_directory',
        default='/run/ebackup/qemu',
        help='Where the sockets are of each qemu-storage-daemon that this '
        'proxy starts, to reach iSCSI targets without an initiator in the '
        'kernel. Only the user of the proxy may have access to it.',
    ),
    cfg.IntOpt(
        'connections',
        default=4,
        min=1,
        max=64,
        help='Connections for one volume, where the server allows more than '
        'one.',
    ),
    cfg.FloatOpt(
        'timeout',
        default=20.0,
        min=0.1,
        help='Seconds without an answer after which a connection, to an NBD '
        'server or to a monitor of QEMU, is taken for lost.',
    ),
    cfg.FloatOpt(
        'outage',
        default=30.0,
        min=0,
        help='Seconds that a server that went away while a volume was read '
        'has to come back, before the job fails. It is begun again later.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP, OPTS)]
