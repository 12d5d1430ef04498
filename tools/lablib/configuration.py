# SPDX-License-Identifier: Apache-2.0
"""The configuration files of everything in the lab."""

import os
import pathlib
import re

from lablib import ceph
from lablib import lab as lab_module
from lablib import system

Sections = dict[str, dict[str, object]]
HOST = 'lab'
# Of eBackup's proxies, by their services. Of those that have as much to do the
# first by this name gets a job; so the second, as HOST's has what is attached.
PROXIES = {'ebackup-proxy': HOST, 'ebackup-proxy-2': 'another'}
# Of back ends that keep volumes in files.
TYPES = ('block', 'file')
# Of OpenStack's databases on sqlite. What a lab's services commit outlasts
# them when they are killed; it need not outlast the machine, and each commit
# would let all of a process that is under eventlet wait for the disk.
_UNSYNCED = {'sqlite_synchronous': False}


def write(lab: lab_module.Lab) -> None:
    """Write all files anew; one whose content is the same is not touched."""
    user = lab.settings.user if system.is_root() else None
    _write(lab.etc / 'keystone.conf', _keystone(lab))
    _write(lab.etc / 'cinder.conf', _cinder(lab))
    _write(lab.etc / 'ebackup.conf', _ebackup(lab), user)
    # For options that whoever uses the lab puts there.
    for name in 'cinder.d', 'ebackup.d':
        (lab.etc / name).mkdir(exist_ok=True)
    if lab.settings.ceph:
        ceph.directory(lab).mkdir(exist_ok=True)
        _write(pathlib.Path(ceph.conf(lab)), ceph.configuration(lab), user)
    if lab.settings.separate:
        _write(lab.etc / 'ebackup-proxy.conf', _ebackup_proxy(lab), user)
        second: Sections = {'server': {'host': f'{HOST}-2'}}
        _write(lab.etc / 'ebackup-server-2.conf', second, user)
        if lab.settings.proxies > 1:
            file = lab.etc / 'ebackup-proxy-2.conf'
            _write(file, _second_proxy(lab), user)
        _write_rabbitmq(lab)
        _write_mariadb(lab)


def volume_types(lab: lab_module.Lab) -> tuple[str, ...]:
    """Return the types, each a back end; the first one is the default."""
    if lab.settings.ceph:
        return 'rbd', *TYPES
    # Making block devices needs root.
    return TYPES if system.is_root() else TYPES[1:]


def _keystone(lab: lab_module.Lab) -> Sections:
    home = lab.state / 'keystone'
    return {
        'DEFAULT': {'log_file': ''},
        'database': {
            'connection': f'sqlite:///{home}/keystone.sqlite',
            **_UNSYNCED,
        },
        'token': {'provider': 'fernet', 'expiration': 7 * 24 * 3600},
        'fernet_tokens': {'key_repository': home / 'fernet-keys'},
        'fernet_receipts': {'key_repository': home / 'fernet-keys'},
        'credential': {'key_repository': home / 'credential-keys'},
        # Passwords of a lab are random and short-lived; hashing them as
        # slowly as real ones would cost each command a quarter of a second.
        'identity': {'password_hash_rounds': 4},
        'oslo_policy': {'policy_file': lab.etc / 'keystone-policy.yaml'},
    }


def _account(lab: lab_module.Lab, name: str) -> dict[str, object]:
    return {
        'auth_type': 'password',
        'auth_url': lab.url('keystone', '/v3'),
        'username': name,
        'password': lab.settings.passwords[name],
        'project_name': 'service',
        'user_domain_name': 'Default',
        'project_domain_name': 'Default',
    }


def _token_check(lab: lab_module.Lab, name: str) -> dict[str, object]:
    return {
        **_account(lab, name),
        'www_authenticate_uri': lab.url('keystone', '/v3'),
        'service_token_roles': 'service',
        'service_token_roles_required': True,
    }


def _transport(lab: lab_module.Lab) -> str:
    if not lab.settings.separate:
        return 'fake:/'
    password = lab.settings.passwords['rabbitmq']
    return f'rabbit://lab:{password}@127.0.0.1:{lab.port("rabbitmq")}/'


def _database(lab: lab_module.Lab, name: str, path: pathlib.Path) -> str:
    if not lab.settings.separate:
        return f'sqlite:///{path}'
    password = lab.settings.passwords[f'{name}-db']
    address = f'127.0.0.1:{lab.port("mariadb")}'
    return f'mysql+pymysql://{name}:{password}@{address}/{name}?charset=utf8'


def _cinder(lab: lab_module.Lab) -> Sections:
    home = lab.state / 'cinder'
    types = volume_types(lab)
    file = lab.etc / 'cinder.conf'
    helper = f'{lab.binary("privsep-helper")} --config-file {file}'
    if not system.is_root():
        # It wants to be root, though there is nothing to do for it here.
        helper = f'unshare --map-root-user {helper}'
    sections: Sections = {
        'DEFAULT': {
            'host': HOST,
            'debug': True,
            'state_path': home,
            'api_paste_config': lab.venv / 'etc/cinder/api-paste.ini',
            'rootwrap_config': lab.venv / 'etc/cinder/rootwrap.conf',
            'resource_query_filters_file': lab.venv
            / 'etc/cinder/resource_filters.json',
            'auth_strategy': 'keystone',
            'osapi_volume_listen': '127.0.0.1',
            'osapi_volume_listen_port': lab.port('cinder'),
            'osapi_volume_workers': 1,
            'transport_url': _transport(lab),
            'enabled_backends': ','.join(types),
            'default_volume_type': types[0],
            'backup_driver': 'ebackup_driver.driver.EBackupDriver',
            # Short, so that a lab notices soon who is there and who is not.
            'report_interval': 2,
            'service_down_time': 20,
            'periodic_interval': 5,
            'periodic_fuzzy_delay': 0,
            'backend_stats_polling_interval': 5,
            'backup_driver_stats_polling_interval': 10,
            'graceful_shutdown_timeout': 10,
            # How long a scheduler waits for back ends that are not there.
            'scheduler_driver_init_wait_time': 5,
        },
        'database': {
            'connection': _database(lab, 'cinder', home / 'cinder.sqlite'),
            **_UNSYNCED,
        },
        'oslo_concurrency': {'lock_path': home / 'lock'},
        'oslo_policy': {'policy_file': lab.etc / 'cinder-policy.yaml'},
        'keystone_authtoken': _token_check(lab, 'cinder'),
        'key_manager': {
            'backend': 'labcloud.key_manager.FileKeyManager',
            'lab_keys': home / 'keys',
        },
        'privsep': {'helper_command': helper},
        'cinder_sys_admin': {'helper_command': helper},
        'privsep_osbrick': {'helper_command': helper},
        'ebackup': {
            **_account(lab, 'cinder'),
            'host': HOST,
            'poll_interval': 0.2,
            # A service that was killed is back by then, on a busy machine
            # as well.
            'service_timeout': 30,
        },
    }
    for name in types:
        sections[name] = _rbd() if name == 'rbd' else _files(lab, name)
    return sections


def _files(lab: lab_module.Lab, name: str) -> dict[str, object]:
    return {
        'volume_driver': 'labcloud.volume_driver.LabVolumeDriver',
        'volume_backend_name': name,
        'lab_directory': lab.volumes / name,
        'lab_attach': name,
        'lab_group': lab_module.DISK_GID
        if name == 'block'
        else lab.settings.volume_group,
        # Both of the ways in which Cinder backs up a volume in use.
        'backup_use_temp_snapshot': name == 'block',
    }


def _rbd() -> dict[str, object]:
    return {
        'volume_driver': 'cinder.volume.drivers.rbd.RBDDriver',
        'volume_backend_name': 'rbd',
        'rbd_pool': ceph.POOL,
        'rbd_user': 'cinder',
        'rbd_ceph_conf': ceph.CONF,
        # Seconds; librados would wait for five minutes.
        'rados_connect_timeout': 10,
        # Cinder's driver attaches no snapshots.
        'backup_use_temp_snapshot': False,
    }


def _ebackup_common(lab: lab_module.Lab) -> Sections:
    return {
        'DEFAULT': {
            'debug': True,
            'state_path': lab.state / 'ebackup',
            'transport_url': _transport(lab),
        },
    }


def _proxy(lab: lab_module.Lab) -> dict[str, object]:
    return {'host': HOST, 'attached_roots': f'/dev,{lab.volumes}'}


def _ebackup(lab: lab_module.Lab) -> Sections:
    catalog = lab.state / 'ebackup/ebackup.sqlite'
    sections: Sections = {
        **_ebackup_common(lab),
        'api': {
            'host': '127.0.0.1',
            'port': lab.port('ebackup'),
            'auth_strategy': 'keystone',
        },
        'keystone_authtoken': _token_check(lab, 'ebackup'),
        'database': {'connection': _database(lab, 'ebackup', catalog)},
        # Those that stay away shall not keep a test waiting for long.
        'server': {'host': HOST, 'resume_timeout': 30},
    }
    if not lab.settings.separate:
        sections['proxy'] = _proxy(lab)
        sections['repository'] = {'url': f'file://{lab.repository}'}
    else:
        # Beside an sqlite catalog it has a place of its own.
        keys = lab.state / 'ebackup/keys'
        sections['server']['key_file'] = keys
    if lab.settings.ceph:
        # Cinder's back end "rbd"; all else is as the rest of it is by default.
        sections['server']['enabled_storages'] = 'ceph'
        sections['ceph'] = {
            'kind': 'rbd',
            'backends': f'{HOST}@rbd',
            'pool': ceph.POOL,
        }
    return sections


def _ebackup_proxy(lab: lab_module.Lab) -> Sections:
    # Without a database: a proxy must not need one.
    return {**_ebackup_common(lab), 'proxy': _proxy(lab)}


def _second_proxy(lab: lab_module.Lab) -> Sections:
    return {
        'DEFAULT': {'state_path': lab.state / 'ebackup-proxy-2'},
        'proxy': {'host': PROXIES['ebackup-proxy-2']},
    }


def _write_rabbitmq(lab: lab_module.Lab) -> None:
    content = f"""\
listeners.tcp.1 = 127.0.0.1:{lab.port('rabbitmq')}
default_user = lab
default_pass = {lab.settings.passwords['rabbitmq']}
loopback_users = none
log.console = true
log.file = false
# The disk is the user's: a lab needs next to nothing of it.
disk_free_limit.absolute = 50MB
"""
    _put(lab.etc / 'rabbitmq.conf', content)
    _put(lab.etc / 'rabbitmq-plugins', '[].\n')


def _write_mariadb(lab: lab_module.Lab) -> None:
    statements = []
    for name in 'cinder', 'ebackup':
        user = f"'{name}'@'127.0.0.1'"
        password = lab.settings.passwords[f'{name}-db']
        statements += [
            f'CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8;',
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';",
            f'GRANT ALL ON {name}.* TO {user};',
        ]
    _put(lab.etc / 'mariadb.sql', '\n'.join(statements) + '\n')


def _write(
    path: pathlib.Path, sections: Sections, group: int | None = None
) -> None:
    lines = []
    for name, options in sections.items():
        lines.append(f'[{name}]')
        for option, value in options.items():
            # oslo.config replaces $name in values.
            text = re.sub(r'\$', '$$', str(value))
            lines.append(f'{option} = {text}')
        lines.append('')
    _put(path, '\n'.join(lines), group)


def _put(path: pathlib.Path, content: str, group: int | None = None) -> None:
    if not path.exists() or path.read_text() != content:
        temporary = path.with_name(f'.{path.name}')
        temporary.touch()
        # Most of them hold a password.
        temporary.chmod(0o600 if group is None else 0o640)
        temporary.write_text(content)
        temporary.replace(path)
    if group is not None:
        path.chmod(0o640)
        os.chown(path, -1, group)
