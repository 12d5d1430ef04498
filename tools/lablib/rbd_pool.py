# SPDX-License-Identifier: Apache-2.0
"""The pool of the volumes in the lab's Ceph, as its administrator sees it."""

import dataclasses
import json
import os
import subprocess
from typing import Any

from lablib import ceph
from lablib import console
from lablib import lab as lab_module

_MISSING = 'No such file or directory'


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """id: no other snapshot of the image ever has it."""

    image: str
    id: str
    name: str


def work(
    lab: lab_module.Lab, image: str, *arguments: str, content: bytes = b''
) -> bytes:
    """Return what lablib.rbd_image prints about an image, or a snapshot."""
    if not lab.settings.ceph:
        raise console.Problem(f'there is no {image}')
    done = subprocess.run(
        [
            *(lab.binary('python'), '-m', 'lablib.rbd_image'),
            *(ceph.conf(lab), f'{ceph.POOL}/{image}', *arguments),
        ],
        env=os.environ | {'PYTHONPATH': str(lab_module.TREE / 'tools')},
        input=content,
        capture_output=True,
    )
    if done.returncode:
        error = done.stderr.decode(errors='replace').strip()
        raise console.Problem(f'image {image} of Ceph: {error}')
    return done.stdout


def digest(lab: lab_module.Lab, image: str, *part: int) -> str:
    """Return what sparse.digest() does for a file of the same bytes.

    :param image: or IMAGE@SNAPSHOT
    :param part: begin and end of what counts; without them, it is all
    """
    return work(lab, image, 'digest', *map(str, part)).decode().strip()


def rbd(lab: lab_module.Lab, *arguments: str) -> str:
    """Return what rbd prints."""
    return ceph.admin(lab, 'rbd', '--pool', ceph.POOL, *arguments)


def images(lab: lab_module.Lab) -> set[str]:
    return set(_listed(lab, 'ls'))


def in_trash(lab: lab_module.Lab) -> set[str]:
    """Return the names of the images that wait for their removal."""
    return {one['name'] for one in _listed(lab, 'trash', 'ls')}


def remove_remains(lab: lab_module.Lab, image: str) -> bool:
    """Remove what is left of an image that can't be opened any more.

    Its name: whoever makes or removes one, and is killed, may leave that.

    :returns: whether there was nothing else
    """
    try:
        image_id(lab, image)
    except console.Problem as problem:
        if _MISSING not in str(problem):
            raise
        rbd(lab, '--no-progress', 'rm', image)
        return True
    return False


def image_id(lab: lab_module.Lab, image: str) -> str:
    return _listed(lab, 'info', image)['id']


def snapshots(lab: lab_module.Lab, image: str) -> list[Snapshot]:
    """Return those of an image, but for Ceph's own."""
    return [
        Snapshot(image, str(one['id']), one['name'])
        for one in _listed(lab, 'snap', 'ls', image)
    ]


def remove_snapshot(lab: lab_module.Lab, which: Snapshot) -> bool:
    """Return whether it was there; one of the same name stays."""
    try:
        rbd(lab, 'snap', 'rm', '--snap-id', which.id, which.image)
    except console.Problem:
        if which in snapshots(lab, which.image):
            raise
        return False
    return True


def unprotect_snapshot(lab: lab_module.Lab, which: Snapshot) -> None:
    """Let one be removed that was protected, as Cinder's are.

    :raises Problem: it has clones
    """
    rbd(lab, 'snap', 'unprotect', f'{which.image}@{which.name}')


def users(lab: lab_module.Lab, image: str) -> list[str]:
    """Return who has an image open to write to it, or has locked it."""
    watchers = _listed(lab, 'status', image)['watchers']
    lockers = _listed(lab, 'lock', 'ls', image)
    return [f'a watcher at {one["address"]}' for one in watchers] + [
        f'lock {one["id"]} of {one["locker"]} at {one["address"]}'
        for one in lockers
    ]


def _listed(lab: lab_module.Lab, *arguments: str) -> Any:
    return json.loads(rbd(lab, *arguments, '--format', 'json'))
