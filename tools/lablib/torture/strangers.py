# SPDX-License-Identifier: Apache-2.0
"""Snapshots and images in the pool that are none of ours, nor of Cinder's.

Their names are like ours, and like those that Cinder's own backup driver for
Ceph gives. Nobody may change or remove them; there they have to be in the end
with the same ids and the same bytes.
"""

from collections.abc import Iterator
import random
import time
import uuid

from lablib import lab as lab_module
from lablib import rbd_pool

_SIZE = 64 << 20
# Of images' metadata: by which one is known that an earlier run has left.
_MARK = 'torture'


class Strangers:
    def __init__(self, lab: lab_module.Lab, seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        # Digests of what there is; of images by name and id.
        self._snapshots: dict[rbd_pool.Snapshot, str] = {}
        self._images: dict[tuple[str, str], str] = {}

    def plant_images(self) -> None:
        """Make images as other clouds, and other backups, would have them."""
        for name in (
            f'volume-{uuid.uuid4()}',
            f'volume-{uuid.uuid4()}.backup.base',
            f'backup.{uuid.uuid4()}.snap.{time.time():.2f}',
        ):
            rbd_pool.rbd(self._lab, 'create', '--size', f'{_SIZE}B', name)
            rbd_pool.rbd(self._lab, 'image-meta', 'set', name, _MARK, 'yes')
            data = self._random.randbytes(1 << 20)
            place = f'{self._random.randrange(_SIZE - len(data))}:{len(data)}'
            rbd_pool.work(self._lab, name, 'write', place, content=data)
            identity = rbd_pool.image_id(self._lab, name)
            self._images[name, identity] = rbd_pool.digest(self._lab, name)
            self._plant(name, f'backup.{uuid.uuid4()}.snap.1700000000.00')

    def plant(self, volume_id: str) -> None:
        """Take snapshots of a volume."""
        for name in (
            f'backup.{uuid.uuid4()}.snap.{time.time():.2f}',
            f'snapshot-{uuid.uuid4()}',
        ):
            self._plant(f'volume-{volume_id}', name)

    def replace(self, snapshot: rbd_pool.Snapshot) -> None:
        """Take one of the name of another that is gone."""
        self._plant(snapshot.image, snapshot.name)

    def problems(self) -> Iterator[str]:
        """Yield what has become of them, where it is not what it should be."""
        there = rbd_pool.images(self._lab)
        for (name, identity), digest in self._images.items():
            if name not in there:
                yield f'image {name}, of nobody here, is gone'
            elif rbd_pool.image_id(self._lab, name) != identity:
                yield f'image {name}, of nobody here, was replaced'
            elif rbd_pool.digest(self._lab, name) != digest:
                yield f'image {name}, of nobody here, has changed'
        for one, digest in self._snapshots.items():
            what = f'snapshot {one.name} ({one.id}) of {one.image}'
            if one not in rbd_pool.snapshots(self._lab, one.image):
                yield f'{what}, of nobody here, is gone'
            elif self._digest(one) != digest:
                yield f'{what}, of nobody here, has changed'

    def has(self, snapshot: rbd_pool.Snapshot) -> bool:
        return snapshot in self._snapshots

    @property
    def images(self) -> set[str]:
        return {name for name, _identity in self._images}

    def remove(self) -> None:
        for one in list(self._snapshots):
            rbd_pool.remove_snapshot(self._lab, one)
            del self._snapshots[one]
        for name, identity in list(self._images):
            rbd_pool.rbd(self._lab, '--no-progress', 'rm', name)
            del self._images[name, identity]

    def remove_what_is_left(self) -> None:
        """Remove what an earlier run has planted."""
        for name in rbd_pool.images(self._lab):
            if rbd_pool.remove_remains(self._lab, name):
                continue
            found = rbd_pool.rbd(self._lab, 'image-meta', 'ls', name)
            if _MARK in found.split():
                rbd_pool.rbd(self._lab, '--no-progress', 'snap', 'purge', name)
                rbd_pool.rbd(self._lab, '--no-progress', 'rm', name)

    def _plant(self, image: str, name: str) -> None:
        rbd_pool.rbd(
            self._lab, '--no-progress', 'snap', 'create', f'{image}@{name}'
        )
        [taken] = [
            one
            for one in rbd_pool.snapshots(self._lab, image)
            if one.name == name
        ]
        self._snapshots[taken] = self._digest(taken)

    def _digest(self, snapshot: rbd_pool.Snapshot) -> str:
        return rbd_pool.digest(self._lab, f'{snapshot.image}@{snapshot.name}')
