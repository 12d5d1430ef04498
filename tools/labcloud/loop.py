# SPDX-License-Identifier: Apache-2.0
"""Loop devices: a file as a block device."""

import json
import os
import pathlib

from oslo_concurrency import lockutils
from oslo_concurrency import processutils


@lockutils.synchronized('lab-loop', external=True)
def attach(path: pathlib.Path, group: int) -> str:
    """Return a block device that is the file; the same one while attached."""
    for device in _devices(path):
        # One that somebody still holds open after it was detached goes away
        # when he closes it.
        if not device['autoclear']:
            return device['name']
    out, _error = processutils.execute(
        'losetup', '--find', '--show', str(path)
    )
    device = out.strip()
    # As udev would on most systems.
    os.chown(device, 0, group)
    os.chmod(device, 0o660)
    return device


@lockutils.synchronized('lab-loop', external=True)
def detach(path: pathlib.Path) -> None:
    """Take all devices of the file away; those in use once they are not."""
    for device in _devices(path):
        if not device['autoclear']:
            processutils.execute('losetup', '--detach', device['name'])


def refresh(path: pathlib.Path) -> None:
    """Let the devices of a file have its new size."""
    for device in _devices(path):
        processutils.execute('losetup', '--set-capacity', device['name'])


def _devices(path: pathlib.Path) -> list[dict]:
    if os.geteuid():
        return []
    out, _error = processutils.execute(
        'losetup',
        '--json',
        '--list',
        '--output',
        'NAME,AUTOCLEAR,BACK-FILE',
        '--associated',
        str(path),
    )
    return json.loads(out)['loopdevices'] if out.strip() else []
