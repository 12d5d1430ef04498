# SPDX-License-Identifier: Apache-2.0
"""The services of a lab: how each is started, and how one knows it is up."""

import dataclasses
import os
import pathlib

from lablib import ceph
from lablib import lab as lab_module
from lablib import readiness
from lablib import system


@dataclasses.dataclass(frozen=True)
class Service:
    name: str
    command: list[str]
    ready: readiness.Check
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    files: list[pathlib.Path] = dataclasses.field(default_factory=list)
    # Packages of this tree that it runs; None: it does not run from the venv.
    # It restarts when they change, or those of PyPI do.
    code: tuple[str, ...] | None = None
    port: int | None = None
    # Seconds that it gets to end by itself.
    patience: float = 15


def waves(lab: lab_module.Lab) -> list[list[Service]]:
    """Return the lab's services, in groups that start at the same time.

    Each group needs those before it.
    """
    if lab.settings.ceph:
        return [
            [_ceph_mon(lab)],
            [_ceph_osd(lab), _ceph_mgr(lab), _keystone(lab)],
            [_ceph_rgw(lab), _cinder(lab), _ebackup(lab, 'ebackup', 'all')],
        ]
    if not lab.settings.separate:
        return [
            [_keystone(lab)],
            [_cinder(lab), _ebackup(lab, 'ebackup', 'all')],
        ]
    return [
        [_epmd(lab)],
        [_rabbitmq(lab), _mariadb(lab), _keystone(lab)],
        [
            *_cinder_processes(lab),
            _ebackup(lab, 'ebackup-api', 'api'),
            _ebackup(lab, 'ebackup-server', 'server'),
            _ebackup(lab, 'ebackup-server-2', 'server', 'ebackup-server-2'),
            _ebackup(lab, 'ebackup-proxy', 'proxy'),
            *_second_proxy(lab),
        ],
    ]


def _second_proxy(lab: lab_module.Lab) -> list[Service]:
    if lab.settings.proxies < 2:
        return []
    name = 'ebackup-proxy-2'
    return [_ebackup(lab, name, 'proxy', name)]


def services(lab: lab_module.Lab) -> list[Service]:
    """Return the lab's services, in the order in which they start."""
    return [service for wave in waves(lab) for service in wave]


def _environment() -> dict[str, str]:
    """Return what services inherit: nothing that steers them by accident."""
    kept = ('LANG', 'TZ', 'TMPDIR')
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    return {'PATH': path, 'PYTHONWARNINGS': 'ignore', **inherited}


def _keystone(lab: lab_module.Lab) -> Service:
    file = lab.etc / 'keystone.conf'
    module = [lab.binary('python'), '-m', 'labcloud.keystone_api']
    return Service(
        'keystone',
        [*module, str(file), str(lab.port('keystone'))],
        ready=readiness.answers('keystone', '/v3'),
        environment=_environment(),
        files=[file],
        code=('labcloud',),
        port=lab.port('keystone'),
    )


def _cinder_environment(lab: lab_module.Lab) -> dict[str, str]:
    venv = str(lab.venv / 'bin')
    environment = _environment()
    return environment | {'PATH': f'{venv}:{environment["PATH"]}'}


def _cinder(lab: lab_module.Lab) -> Service:
    file = lab.etc / 'cinder.conf'
    more = lab.etc / 'cinder.d'
    command = [lab.binary('python'), '-m', 'labcloud.cinder_all']
    command += ['--config-file', str(file), '--config-dir', str(more)]
    return Service(
        'cinder',
        _with_ceph(lab, command),
        ready=readiness.all_of(
            readiness.answers('cinder', '/healthcheck'),
            readiness.cinder_reports(),
            readiness.cinder_schedules('cinder'),
        ),
        environment=_cinder_environment(lab),
        files=[file, *sorted(more.glob('*.conf'))],
        code=('labcloud', 'ebackup_driver'),
        port=lab.port('cinder'),
        patience=20,
    )


def _cinder_processes(lab: lab_module.Lab) -> list[Service]:
    file = lab.etc / 'cinder.conf'
    native = lab.settings.backup_threading == 'native'
    code = {
        'cinder-volume': ('labcloud',),
        'cinder-backup': ('ebackup_driver',),
    }
    threading = {'OS_CINDER_DISABLE_EVENTLET_PATCHING': str(int(native))}
    return [
        Service(
            name,
            [lab.binary(name), '--config-file', str(file)],
            ready=_cinder_ready(name),
            environment=_cinder_environment(lab)
            | (threading if name == 'cinder-backup' else {}),
            files=[file],
            code=code.get(name, ()),
            port=lab.port('cinder') if name == 'cinder-api' else None,
            patience=20,
        )
        for name in (
            'cinder-api',
            'cinder-scheduler',
            'cinder-volume',
            'cinder-backup',
        )
    ]


def _cinder_ready(name: str) -> readiness.Check:
    if name == 'cinder-api':
        return readiness.answers('cinder', '/healthcheck')
    reports = readiness.cinder_reports(name)
    if name == 'cinder-backup':
        return reports
    both = 'cinder-scheduler', 'cinder-volume'
    return readiness.all_of(reports, readiness.cinder_schedules(*both))


def _ebackup(
    lab: lab_module.Lab, name: str, program: str, *own: str
) -> Service:
    """:param own: names of further files of options, which count more"""
    names = ('ebackup-proxy' if program == 'proxy' else 'ebackup', *own)
    files = [lab.etc / f'{each}.conf' for each in names]
    serves = program in ('all', 'api')
    holder = name if program in ('all', 'proxy') else 'ebackup-proxy'
    command = [lab.binary(f'ebackup-{program}')]
    for file in files:
        command += ['--config-file', str(file)]
    more = lab.etc / 'ebackup.d'
    command += ['--config-dir', str(more)]
    if system.is_root():
        groups = [lab.settings.user]
        if program in ('all', 'proxy'):
            # What it needs to open volumes, and all that it needs.
            groups += [lab_module.DISK_GID, lab.settings.volume_group]
        user = str(lab.settings.user)
        confine = lab_module.TREE / 'tools/lablib/confine.py'
        command = [
            lab.binary('python'),
            str(confine),
            *(user, user, ','.join(map(str, groups)), str(lab.directory)),
            *command,
        ]
    home = str(lab.state / 'ebackup')
    return Service(
        name,
        _with_ceph(lab, command),
        ready=readiness.answers('ebackup', '/healthcheck')
        if program == 'api'
        else readiness.ebackup_works(holder),
        environment=_environment() | {'HOME': home},
        files=[*files, *sorted(more.glob('*.conf'))],
        code=('ebackup_service',),
        port=lab.port('ebackup') if serves else None,
        # It finishes or ends its jobs in [proxy] shutdown_timeout.
        patience=30,
    )


def _epmd(lab: lab_module.Lab) -> Service:
    port = lab.port('epmd')
    return Service(
        'epmd',
        ['epmd', '-address', '127.0.0.1', '-port', str(port)],
        ready=readiness.listens('epmd'),
        environment=_environment(),
        port=port,
    )


def _rabbitmq(lab: lab_module.Lab) -> Service:
    home = lab.state / 'rabbitmq'
    node = f'lab{lab.settings.base_port}@localhost'
    environment = {
        'HOME': home,
        'ERL_EPMD_PORT': lab.port('epmd'),
        'ERL_EPMD_ADDRESS': '127.0.0.1',
        'RABBITMQ_NODENAME': node,
        'RABBITMQ_DIST_PORT': lab.port('rabbitmq-distribution'),
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '-kernel '
        'inet_dist_use_interface {127,0,0,1}',
        'RABBITMQ_CONF_ENV_FILE': '/dev/null',
        'RABBITMQ_CONFIG_FILE': lab.etc / 'rabbitmq.conf',
        'RABBITMQ_ADVANCED_CONFIG_FILE': lab.etc / 'rabbitmq-advanced',
        'RABBITMQ_ENABLED_PLUGINS_FILE': lab.etc / 'rabbitmq-plugins',
        'RABBITMQ_MNESIA_BASE': home / 'mnesia',
        'RABBITMQ_LOG_BASE': home / 'log',
        'RABBITMQ_PID_FILE': home / 'pid',
    }
    return Service(
        'rabbitmq',
        ['/usr/lib/rabbitmq/bin/rabbitmq-server'],
        ready=readiness.speaks('rabbitmq', b'AMQP\x00\x00\x09\x01', b'\x01'),
        environment=_environment()
        | {name: str(value) for name, value in environment.items()},
        files=[lab.etc / 'rabbitmq.conf'],
        port=lab.port('rabbitmq'),
    )


def _mariadb(lab: lab_module.Lab) -> Service:
    home = lab.state / 'mariadb'
    user = ['--user=root'] if system.is_root() else []
    return Service(
        'mariadb',
        [
            'mariadbd',
            '--no-defaults',
            *user,
            f'--datadir={home}',
            # A server that starts removes all temporary tables that it finds
            # there, whosever they are.
            f'--tmpdir={home}-tmp',
            # Below the data directory: a longer path than that of a socket.
            '--socket=mariadb.sock',
            f'--pid-file={home}/pid',
            '--bind-address=127.0.0.1',
            f'--port={lab.port("mariadb")}',
            '--skip-name-resolve',
            '--max-connections=500',
            f'--init-file={lab.etc}/mariadb.sql',
        ],
        ready=readiness.speaks('mariadb', b'', b''),
        environment=_environment(),
        files=[lab.etc / 'mariadb.sql'],
        port=lab.port('mariadb'),
    )


def _with_ceph(lab: lab_module.Lab, command: list[str]) -> list[str]:
    """Let the command find the lab's Ceph in /etc/ceph, and nobody else.

    Some libraries look for keyrings there, whatever one tells them.
    """
    if not lab.settings.ceph:
        return command
    script = 'mount --bind "$0" /etc/ceph && exec "$@"'
    unshare = ['unshare', '--mount', '--propagation', 'slave']
    shell = ['/bin/sh', '-c', script, str(ceph.directory(lab))]
    return [*unshare, *shell, *command]


def _ceph(
    lab: lab_module.Lab,
    service: str,
    command: list[str],
    ready: readiness.Check,
    port: str | None = None,
) -> Service:
    file = ceph.conf(lab)
    return Service(
        service,
        [*command, '--conf', file, '--foreground'],
        ready=ready,
        environment=_environment(),
        files=[pathlib.Path(file)],
        port=lab.port(port) if port else None,
    )


def _ceph_mon(lab: lab_module.Lab) -> Service:
    return _ceph(
        lab,
        'ceph-mon',
        ['ceph-mon', '--id', ceph.NAME],
        readiness.ceph_daemon(f'mon.{ceph.NAME}', 'mon_status', 'leader'),
        'ceph-mon',
    )


def _ceph_mgr(lab: lab_module.Lab) -> Service:
    return _ceph(
        lab,
        'ceph-mgr',
        ['ceph-mgr', '--id', ceph.NAME],
        readiness.ceph_daemon(f'mgr.{ceph.NAME}', 'status', None),
    )


def _ceph_osd(lab: lab_module.Lab) -> Service:
    return _ceph(
        lab,
        'ceph-osd',
        ['ceph-osd', '--id', '0'],
        readiness.ceph_daemon('osd.0', 'status', 'active'),
        'ceph-daemons',
    )


def _ceph_rgw(lab: lab_module.Lab) -> Service:
    return _ceph(
        lab,
        'ceph-rgw',
        ['radosgw', '--name', f'client.rgw.{ceph.NAME}'],
        readiness.answers('ceph-rgw', '/'),
        'ceph-rgw',
    )
