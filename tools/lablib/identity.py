# SPDX-License-Identifier: Apache-2.0
"""Projects, users, roles and the catalog in the lab's Keystone."""

from typing import Any

from lablib import lab as lab_module
from lablib import rest

SERVICES = {
    'block-storage': ('cinder', '/v3'),
    'block-backup': ('ebackup', ''),
}
# (user, project, role): keystone-manage made admin of project admin before.
GRANTS = (
    ('admin', 'demo', 'admin'),
    ('demo', 'demo', 'member'),
    ('other', 'other', 'member'),
    ('cinder', 'service', 'service'),
    ('ebackup', 'service', 'service'),
)
_DOMAIN = 'default'


def set_up(lab: lab_module.Lab) -> None:
    """Make what is missing; may be called again after an interruption."""
    client = rest.client(lab)
    roles = _by_name(client, 'roles')
    projects: dict[str, str] = {}
    users = _by_name(client, 'users')
    for user, project, role in GRANTS:
        if project not in projects:
            projects[project] = _project(client, project)
        if user not in users:
            password = lab.settings.passwords[user]
            users[user] = _create(
                client,
                'user',
                name=user,
                password=password,
                domain_id=_DOMAIN,
                default_project_id=projects[project],
            )
        path = f'/v3/projects/{projects[project]}/users/{users[user]}'
        client.call('keystone', 'PUT', f'{path}/roles/{roles[role]}')
    _catalog(lab, client)


def _catalog(lab: lab_module.Lab, client: rest.Client) -> None:
    services = client.get('keystone', '/v3/services')['services']
    endpoints = client.get('keystone', '/v3/endpoints')['endpoints']
    ids = {service['type']: service['id'] for service in services}
    there = {(e['service_id'], e['interface']) for e in endpoints}
    for kind, (name, path) in SERVICES.items():
        if kind not in ids:
            ids[kind] = _create(client, 'service', type=kind, name=name)
        for interface in 'public', 'internal', 'admin':
            if (ids[kind], interface) not in there:
                _create(
                    client,
                    'endpoint',
                    service_id=ids[kind],
                    interface=interface,
                    region='RegionOne',
                    url=lab.url(name, path),
                )


def _project(client: rest.Client, name: str) -> str:
    found = _by_name(client, 'projects')
    if name in found:
        return found[name]
    return _create(client, 'project', name=name, domain_id=_DOMAIN)


def _by_name(client: rest.Client, kind: str) -> dict[str, str]:
    listed = client.get('keystone', f'/v3/{kind}')[kind]
    return {entry['name']: entry['id'] for entry in listed}


def _create(client: rest.Client, kind: str, **fields: Any) -> str:
    answer = client.post('keystone', f'/v3/{kind}s', {kind: fields})
    return answer[kind]['id']
