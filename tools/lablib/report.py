# SPDX-License-Identifier: Apache-2.0
"""What tools/lab tells about a lab."""

import json
import os
import pathlib
import shlex
import time
from typing import Any

from lablib import ceph
from lablib import lab as lab_module
from lablib import lifecycle
from lablib import process
from lablib import service as service_module


def variables(lab: lab_module.Lab, user: str) -> dict[str, str]:
    """Return the environment in which "openstack" acts as that user.

    And in which clients of Ceph and of S3 find the lab's.
    """
    return {
        **(_storage(lab) if lab.settings.ceph else {}),
        'OS_AUTH_TYPE': 'password',
        'OS_AUTH_URL': lab.url('keystone', '/v3'),
        'OS_IDENTITY_API_VERSION': '3',
        'OS_REGION_NAME': 'RegionOne',
        'OS_USERNAME': user,
        'OS_PASSWORD': lab.settings.passwords[user],
        'OS_PROJECT_NAME': user,
        'OS_USER_DOMAIN_NAME': 'Default',
        'OS_PROJECT_DOMAIN_NAME': 'Default',
        'EBACKUP_URL': lab.url('ebackup'),
        'LAB_DIR': str(lab.directory),
    }


def _storage(lab: lab_module.Lab) -> dict[str, str]:
    access, secret = ceph.s3_keys(lab)
    return {
        'CEPH_CONF': ceph.conf(lab),
        'AWS_ENDPOINT_URL': lab.url('ceph-rgw'),
        'AWS_ACCESS_KEY_ID': access,
        'AWS_SECRET_ACCESS_KEY': secret,
    }


def environment(lab: lab_module.Lab, user: str) -> str:
    """Return lines for a shell, so that plain "openstack ..." works."""
    lines = [
        f'export {name}={shlex.quote(value)}'
        for name, value in variables(lab, user).items()
    ]
    binaries = shlex.quote(str(lab.venv / 'bin'))
    lines.append(f'export PATH={binaries}:"$PATH"')
    return '\n'.join(lines)


def status(lab: lab_module.Lab, as_json: bool) -> str:
    services = [_service(lab, s) for s in service_module.services(lab)]
    if as_json:
        facts = {
            'directory': str(lab.directory),
            'profile': lab.settings.profile,
            'services': services,
        }
        return json.dumps(facts, indent=2)
    lines = [f'lab {lab.directory} ({lab.settings.profile})']
    for entry in services:
        line = f'  {entry["name"]:17}{entry["state"]:9}'
        if entry['pid']:
            line += f'pid {entry["pid"]:<8}up {entry["uptime"]:>7.0f} s'
            line += f'{entry["memory"] / 2**20:6.0f} MiB'
        if entry['port']:
            line += f'  port {entry["port"]}'
        lines.append(line)
    return '\n'.join(lines)


def _service(
    lab: lab_module.Lab, service: service_module.Service
) -> dict[str, Any]:
    """Return name, state (running, stopped, died, failing) and so on.

    Memory (bytes) is what all of its processes have in memory.
    """
    one = lifecycle.process_of(lab, service)
    pid, record = one.pid, one.record
    state, uptime = 'stopped', 0.0
    if pid is not None and record is not None:
        uptime = time.time() - record['started']
        well = lifecycle.is_ready(lab, service)
        state = 'running' if well else 'failing'
    elif record is not None:
        state = 'died'
    return {
        'name': service.name,
        'state': state,
        'pid': pid,
        'uptime': uptime,
        'memory': _memory(pid),
        'port': service.port,
        'log': str(lab.log / f'{service.name}.log'),
    }


def _memory(group: int | None) -> int:
    if group is None:
        return 0
    return sum(_resident(pid) for pid in process.members(group))


def _resident(pid: int) -> int:
    try:
        text = pathlib.Path(f'/proc/{pid}/statm').read_text()
    except OSError:
        return 0
    return int(text.split()[1]) * os.sysconf('SC_PAGE_SIZE')
