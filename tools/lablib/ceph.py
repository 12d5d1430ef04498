# SPDX-License-Identifier: Apache-2.0
"""The lab's Ceph: a monitor, a manager, an OSD on a file, an S3 gateway.

Small enough to be up in seconds, but whole: users have the capabilities that
they have elsewhere, and nothing is known of it except what a ceph.conf and a
keyring say.
"""

import json
import os
import pathlib
import subprocess
import time
import uuid

from lablib import console
from lablib import lab as lab_module
from lablib import ports
from lablib import programs

Sections = dict[str, dict[str, object]]

NAME = 'lab'
POOL = 'volumes'
# Glance's, if there were one: volumes are cloned from what is there.
IMAGES = 'images'
CONF = pathlib.Path('/etc/ceph/ceph.conf')
_GATEWAY = f'client.rgw.{NAME}'
_S3_USER = 'ebackup'
_VOLUMES_AND_IMAGES = (
    f'profile rbd pool={POOL}, profile rbd-read-only pool={IMAGES}'
)
# What each may do. Cinder and eBackup get what the documents tell to give
# them; the others what daemons of their kind always have.
_CAPABILITIES = {
    'osd.0': {'mon': 'allow profile osd', 'osd': 'allow *'},
    f'mgr.{NAME}': {'mon': 'allow profile mgr', 'osd': 'allow *'},
    _GATEWAY: {'mon': 'allow rw', 'osd': 'allow rwx'},
    'client.cinder': {
        'mon': 'profile rbd',
        'osd': _VOLUMES_AND_IMAGES,
        'mgr': f'profile rbd pool={POOL}',
    },
    'client.ebackup': {'mon': 'profile rbd', 'osd': _VOLUMES_AND_IMAGES},
}
# The file is sparse: it takes what has been written at most at a time.
_OSD_BYTES = 64 << 30
# The least that Ceph lets one ask for.
_OSD_MEMORY = 896 << 20
# Seconds.
_TIMEOUT = 120
_QUIET = """
    asok auth bdev bluefs bluestore finisher heartbeatmap mgrc mon monc
    objclass objecter optracker osd paxos perfcounter rados rbd rgw rocksdb
    throttle timer tp
""".split()


def directory(lab: lab_module.Lab) -> pathlib.Path:
    """Return what some of the lab's services see as /etc/ceph."""
    return lab.etc / 'ceph'


def conf(lab: lab_module.Lab) -> str:
    return str(directory(lab) / CONF.name)


def configuration(lab: lab_module.Lab) -> Sections:
    """Return the content of ceph.conf."""
    home = lab.state / 'ceph'
    first = lab.port('ceph-daemons')
    gateway = f'127.0.0.1:{lab.port("ceph-rgw")}'
    return {
        'global': {
            'mon_host': f'[v2:127.0.0.1:{lab.port("ceph-mon")}]',
            'public_addr': '127.0.0.1',
            'cluster_addr': '127.0.0.1',
            'ms_bind_msgr1': False,
            'ms_bind_port_min': first,
            'ms_bind_port_max': first + ports.CEPH_DAEMONS - 1,
            'log_file': '',
            'log_to_stderr': True,
            'err_to_stderr': True,
            'crash_dir': home / 'crash',
            # What Ceph keeps in memory of each step, for its developers, takes
            # a good part of the time of a small write.
            **{f'debug_{name}': '0/0' for name in _QUIET},
            # One copy, on the only OSD of the only host.
            'osd_crush_chooseleaf_type': 0,
            'osd_pool_default_size': 1,
            'osd_pool_default_pg_num': 8,
            'osd_pool_default_pg_autoscale_mode': 'off',
        },
        f'mon.{NAME}': {
            **_daemon('mon', NAME),
            'mon_data': home / 'mon',
            'mon_cluster_log_to_file': False,
            'mon_allow_pool_size_one': True,
            'mon_warn_on_pool_no_redundancy': False,
            'auth_allow_insecure_global_id_reclaim': False,
            # The disk is the user's; a monitor needs next to nothing of it.
            'mon_data_avail_warn': 1,
            'mon_data_avail_crit': 1,
            # There is nobody whose changes it could collect meanwhile.
            'paxos_propose_interval': 0.05,
            'paxos_min_wait': 0.01,
        },
        f'mgr.{NAME}': {
            **_daemon('mgr', NAME),
            'keyring': _keyring(lab, f'mgr.{NAME}'),
            'mgr_data': home / 'mgr',
            # None of its modules, all of which together take some seconds to
            # start, and 300 MiB: it is here to count what pools hold.
            'mgr_module_path': home / 'no-modules',
        },
        'osd.0': {
            **_daemon('osd', '0'),
            'keyring': _keyring(lab, 'osd.0'),
            'osd_data': home / 'osd',
            'osd_memory_target': _OSD_MEMORY,
            'bluestore_block_size': _OSD_BYTES,
        },
        _GATEWAY: {
            **_daemon('rgw', NAME),
            'keyring': _keyring(lab, _GATEWAY),
            'rgw_data': home / 'rgw',
            'rgw_frontends': f'beast endpoint={gateway}',
        },
        **{
            f'client.{user}': {'keyring': _keyring(lab, f'client.{user}')}
            for user in ('admin', 'cinder', 'ebackup')
        },
    }


def _daemon(kind: str, name: str) -> dict[str, object]:
    # Below the directory that it is started in: sockets have short names.
    return {'admin_socket': f'run/{kind}.{name}.asok'}


def _keyring(lab: lab_module.Lab, user: str) -> pathlib.Path:
    return directory(lab) / f'ceph.{user}.keyring'


def make_monitor(lab: lab_module.Lab) -> None:
    """Make a cluster of a monitor that knows itself and an administrator."""
    home = lab.state / 'ceph'
    programs.empty(home)
    for name in 'mon', 'mgr', 'rgw', 'crash', 'no-modules':
        (home / name).mkdir()
    log = lab.log / 'ceph-setup.log'
    admin = _keyring(lab, 'client.admin')
    both = home / 'keyring'
    monmap = home / 'monmap'
    address = f'[v2:127.0.0.1:{lab.port("ceph-mon")}]'
    tool = 'ceph-authtool'
    for command in (
        [
            *(tool, '--create-keyring', admin),
            *('--gen-key', '--name', 'client.admin'),
            *('--cap', 'mon', 'allow *', '--cap', 'mgr', 'allow *'),
            *('--cap', 'osd', 'allow *'),
        ],
        [
            *(tool, '--create-keyring', both),
            *('--gen-key', '--name', 'mon.', '--cap', 'mon', 'allow *'),
        ],
        [tool, both, '--import-keyring', admin],
        [
            *('monmaptool', '--create', '--addv', NAME, address),
            *('--fsid', uuid.uuid4(), monmap),
        ],
        [
            *('ceph-mon', '--conf', conf(lab), '--mkfs', '--id', NAME),
            *('--monmap', monmap, '--keyring', both),
        ],
    ):
        programs.run(lab, [str(part) for part in command], log)


def make_users(lab: lab_module.Lab) -> None:
    """Make all users but the administrator, each with a keyring."""
    for user, capabilities in _CAPABILITIES.items():
        file = _keyring(lab, user)
        pairs = [word for pair in capabilities.items() for word in pair]
        file.touch(mode=0o600)
        _ceph(lab, 'auth', 'get-or-create', user, *pairs, '-o', str(file))
        if user == 'client.ebackup':
            os.chown(file, -1, lab.settings.user)
            file.chmod(0o640)


def make_osd(lab: lab_module.Lab) -> None:
    """Make the OSD's store, a file in its directory."""
    programs.empty(lab.state / 'ceph/osd')
    # Any identifier that does not change would do.
    identity = _ceph(lab, 'fsid').strip()
    _ceph(lab, 'osd', 'create', identity, '0')
    command = ['ceph-osd', '--conf', conf(lab), '--id', '0', '--mkfs']
    command += ['--no-mon-config', '--osd-uuid', identity, '--fsid', identity]
    programs.run(lab, command, lab.log / 'ceph-setup.log')


def make_pools(lab: lab_module.Lab) -> None:
    """Make them, and wait until somebody counts that of the volumes."""
    for pool, groups in (POOL, '32'), (IMAGES, '8'):
        _ceph(lab, 'osd', 'pool', 'create', pool, groups)
        _ceph(lab, 'osd', 'pool', 'application', 'enable', pool, 'rbd')
    # Cinder can not do without.
    deadline = time.monotonic() + _TIMEOUT
    while f'"name":"{POOL}"' not in _ceph(lab, 'df', '--format', 'json'):
        if time.monotonic() > deadline:
            raise console.Problem(f'Ceph does not count what {POOL} holds')
        time.sleep(0.2)


def mute_manager(lab: lab_module.Lab) -> None:
    """Let the health be good though the manager has no modules."""
    _ceph(lab, 'health', 'mute', 'MGR_MODULE_ERROR', '--sticky')


def make_s3_user(lab: lab_module.Lab) -> None:
    access, secret = s3_keys(lab)
    users = json.loads(admin(lab, 'radosgw-admin', 'user', 'list'))
    if _S3_USER not in users:
        admin(
            lab,
            *('radosgw-admin', 'user', 'create', '--uid', _S3_USER),
            *('--display-name', 'eBackup', '--access-key', access),
            # Not on the command line, which everybody can read.
            CEPH_ARGS=f'--secret {secret}',
        )


def s3_keys(lab: lab_module.Lab) -> tuple[str, str]:
    """Return the access key and the secret key of the S3 user."""
    return _S3_USER, lab.settings.passwords['s3']


def _ceph(lab: lab_module.Lab, *arguments: str) -> str:
    return admin(lab, 'ceph', *arguments)


def admin(
    lab: lab_module.Lab, program: str, *arguments: str, **environment: str
) -> str:
    """Return what a program of Ceph's prints that the administrator runs."""
    what = ' '.join([program, *arguments[:3]])
    try:
        done = subprocess.run(
            [program, '--conf', conf(lab), *arguments],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=lab.lock,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise console.Problem(
            f'{what}: no answer in {_TIMEOUT} s; see {lab.log}/ceph-*.log'
        ) from None
    if done.returncode:
        raise console.Problem(f'{what} failed: {done.stderr.strip()}')
    return done.stdout
