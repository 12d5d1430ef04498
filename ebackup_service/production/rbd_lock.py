# SPDX-License-Identifier: Apache-2.0
"""The exclusive use of an image by whoever restores to it.

Two clients that have an image's exclusive lock switched to automatic, as
virtual machines have, hand it to each other. A restore that just asked for it
would get it from a running machine. So it looks first who has it, and then
keeps it whatever the others ask.
"""

from ebackup_service.production import errors
from ebackup_service.production import rbd_cluster

_PAUSE = 0.5  # seconds between two looks at a lock

# Those, besides us, that may have an image open to which is restored:
# cinder-backup has, as long as the restore lasts.
_OTHERS = 1


def take(
    cluster: rbd_cluster.Cluster,
    image: rbd_cluster.Image,
    name: str,
    timeout: float,
) -> None:
    """Have the image for itself until it is closed.

    A client that has the lock, and is gone, is locked out by librbd.

    :param image: opened to be written
    :param timeout: seconds, for which another client may have the lock
    :raises: VolumeBusy
    """
    calls, rbd = cluster.calls, cluster.library.rbd
    if not image.features() & rbd.RBD_FEATURE_EXCLUSIVE_LOCK:
        calls.run(lambda: _check_watchers(cluster, image, name))
        return
    looks = int(timeout / _PAUSE)
    while (holder := calls.run(lambda: _holder(image))) is not None:
        client, address = holder
        if client == cluster.client or looks <= 0:
            raise errors.VolumeBusy(
                f'{name} is used by {client} at {address}, which has its '
                'lock: end that, then restore again'
            )
        looks -= 1
        calls.pause(_PAUSE)
    calls.run(lambda: image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE))


def _holder(image: rbd_cluster.Image) -> tuple[str, str] | None:
    """Client and address of who has the lock and is alive."""
    lock = image.list_lockers()
    if not lock:
        return None
    alive = {watcher['addr'] for watcher in image.watchers_list()}
    for client, _, address in lock['lockers']:
        # One by hand ("rbd lock add") ends when somebody removes it.
        if lock['tag'] != 'internal' or address in alive:
            return client, address
    return None


def _check_watchers(
    cluster: rbd_cluster.Cluster, image: rbd_cluster.Image, name: str
) -> None:
    """Of an image without that feature one sees only who has it open."""
    lock = image.list_lockers()
    lockers = (
        [(who, where) for who, _, where in lock['lockers']] if lock else []
    )
    others, ours = [], 0
    for watcher in image.watchers_list():
        client = f'client.{watcher["id"]}'
        if client == cluster.client:
            ours += 1
        else:
            others.append((client, watcher['addr']))
    if ours > 1:
        others.append((cluster.client, 'this proxy'))
    if lockers or len(others) > (_OTHERS if ours == 1 else 0):
        client, address = (lockers or others)[0]
        raise errors.VolumeBusy(
            f'{name} is used by {client} at {address}: end that, then '
            'restore again; with the feature exclusive-lock Ceph would tell '
            'who writes'
        )
