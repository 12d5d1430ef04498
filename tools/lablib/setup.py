# SPDX-License-Identifier: Apache-2.0
"""What is done once, before and after services start for the first time.

Each stage may be interrupted anywhere and is then gone through again. One
before a start begins from nothing: it removes what it has made, which is
nobody's data yet, since the service starts only when the stage is known to
be done. One after a start looks what is there.
"""

from collections.abc import Callable
import os
import time

from lablib import ceph
from lablib import configuration
from lablib import console
from lablib import identity
from lablib import lab as lab_module
from lablib import programs
from lablib import rest
from lablib import system

# Seconds.
_REPOSITORY_TIMEOUT = 60

# Nova would encrypt and decrypt; what is stored is what is backed up.
_ENCRYPTION = {
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'control_location': 'front-end',
}

Work = Callable[[], None]


def directories(lab: lab_module.Lab) -> None:
    """Make the directories of the services, each owned by its user."""
    for name in 'keystone', 'cinder', 'rabbitmq', 'mariadb-tmp':
        (lab.state / name).mkdir(exist_ok=True)
    (lab.state / 'cinder' / 'lock').mkdir(exist_ok=True)
    (lab.state / 'cinder' / 'keys').mkdir(mode=0o700, exist_ok=True)
    states = [lab.state / 'ebackup']
    if lab.settings.proxies > 1:
        states.append(lab.state / 'ebackup-proxy-2')
    for path in lab.repository, *states:
        path.mkdir(exist_ok=True)
        path.chmod(0o750)
        if system.is_root():
            os.chown(path, lab.settings.user, lab.settings.user)


def before(lab: lab_module.Lab, service: str) -> tuple[str, Work] | None:
    """Return what has to be done before the service starts, and its name."""
    works: dict[str, tuple[str, Work]] = {
        'ceph-mon': ("making Ceph's monitor", lambda: ceph.make_monitor(lab)),
        'ceph-osd': ("making Ceph's OSD", lambda: ceph.make_osd(lab)),
        'mariadb': ("making MariaDB's tables", lambda: _mariadb(lab)),
        'keystone': ("making Keystone's database", lambda: _keystone(lab)),
        'cinder': ("making Cinder's database", lambda: _cinder(lab)),
        'cinder-api': ("making Cinder's database", lambda: _cinder(lab)),
        'ebackup-api': ("making eBackup's database", lambda: _catalog(lab)),
    }
    return works.get(service)


def after(lab: lab_module.Lab, service: str) -> tuple[str, Work] | None:
    """Return what has to be done once the service is up, and its name."""
    works: dict[str, tuple[str, Work]] = {
        'ceph-mon': ("making Ceph's users", lambda: ceph.make_users(lab)),
        'ceph-mgr': ('muting its alarm', lambda: ceph.mute_manager(lab)),
        'ceph-osd': ('making pools', lambda: ceph.make_pools(lab)),
        'ceph-rgw': ('making an S3 user', lambda: ceph.make_s3_user(lab)),
        'keystone': (
            'making users and the catalog',
            lambda: identity.set_up(lab),
        ),
        'cinder': ('making volume types', lambda: _volume_types(lab)),
        'cinder-api': ('making volume types', lambda: _volume_types(lab)),
        'ebackup': ('making a repository', lambda: _repository(lab)),
        'ebackup-proxy': ('making a repository', lambda: _repository(lab)),
    }
    return works.get(service)


def _keystone(lab: lab_module.Lab) -> None:
    programs.empty(lab.state / 'keystone')
    url = lab.url('keystone', '/v3')
    command = [lab.binary('python'), '-m', 'labcloud.keystone_setup']
    programs.run(
        lab,
        [*command, str(lab.etc / 'keystone.conf')],
        lab.log / 'keystone-setup.log',
        OS_BOOTSTRAP_PASSWORD=lab.settings.passwords['admin'],
        OS_BOOTSTRAP_REGION_ID='RegionOne',
        OS_BOOTSTRAP_ADMIN_URL=url,
        OS_BOOTSTRAP_INTERNAL_URL=url,
        OS_BOOTSTRAP_PUBLIC_URL=url,
    )


def _cinder(lab: lab_module.Lab) -> None:
    if lab.settings.separate:
        _empty_database(lab, 'cinder')
    for path in (lab.state / 'cinder').glob('cinder.sqlite*'):
        path.unlink()
    command = [lab.binary('cinder-manage'), '--config-file']
    command += [str(lab.etc / 'cinder.conf'), 'db', 'sync']
    programs.run(lab, command, lab.log / 'cinder-db-sync.log')


def _catalog(lab: lab_module.Lab) -> None:
    _empty_database(lab, 'ebackup')
    command = [lab.binary('ebackup-manage'), '--config-file']
    command += [str(lab.etc / 'ebackup.conf'), 'db', 'sync']
    programs.run(lab, command, lab.log / 'ebackup-db-sync.log')


def _empty_database(lab: lab_module.Lab, name: str) -> None:
    """Empty a database of MariaDB, which can't undo half a migration."""
    command = [lab.binary('python'), '-m', 'labcloud.empty_database']
    command.append(str(lab.etc / f'{name}.conf'))
    programs.run(lab, command, lab.log / f'{name}-db-sync.log')


def _mariadb(lab: lab_module.Lab) -> None:
    home = lab.state / 'mariadb'
    user = ['--user=root'] if system.is_root() else []
    command = ['mariadb-install-db', '--no-defaults', *user]
    command += [f'--datadir={home}', '--skip-test-db']
    command.append(f'--tmpdir={home}-tmp')
    programs.empty(home)
    programs.run(lab, command, lab.log / 'mariadb-install.log')


def _volume_types(lab: lab_module.Lab) -> None:
    client = rest.client(lab)
    limits = ('volumes', 'snapshots', 'gigabytes')
    limits += ('backups', 'backup_gigabytes', 'per_volume_gigabytes')
    client.call(
        'cinder',
        'PUT',
        '/v3/os-quota-class-sets/default',
        {'quota_class_set': dict.fromkeys(limits, -1)},
    )
    for back_end in configuration.volume_types(lab):
        _volume_type(client, back_end, back_end)
        encrypted = _volume_type(client, f'{back_end}-encrypted', back_end)
        path = f'/v3/types/{encrypted}/encryption'
        if not client.get('cinder', path):
            client.post('cinder', path, {'encryption': _ENCRYPTION})


def _volume_type(client: rest.Client, name: str, back_end: str) -> str:
    """Make a type, unless there is one of that name; return its id."""
    listed = client.get('cinder', '/v3/types')['volume_types']
    for entry in listed:
        if entry['name'] == name:
            return entry['id']
    specs = {'volume_backend_name': back_end}
    body = {'volume_type': {'name': name, 'extra_specs': specs}}
    return client.post('cinder', '/v3/types', body)['volume_type']['id']


def _repository(lab: lab_module.Lab) -> None:
    """Make the default repository; ebackup-all has begun to by itself."""
    client = rest.client(lab)
    path = '/v1/repositories'
    found = client.get('ebackup', path)['repositories']
    if not found or found[0]['state'] == 'error':
        body = {'name': 'default', 'url': f'file://{lab.repository}'}
        client.post('ebackup', path, {'repository': body})
    deadline = time.monotonic() + _REPOSITORY_TIMEOUT
    state, error = 'creating', None
    while state == 'creating' and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = client.get('ebackup', f'{path}/default')['repository']
        state, error = answer['state'], answer['error']
    if state != 'available':
        raise console.Problem(f'the repository is {state}: {error}')
