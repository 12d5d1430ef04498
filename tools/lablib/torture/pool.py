# SPDX-License-Identifier: Apache-2.0
"""The volumes' pool in Ceph: what in it is ours, Cinder's, or nobody's here.

Nothing that eBackup has made may be left there that it does not know, and
nothing that it has not made may be missing.
"""

from collections.abc import Collection
from collections.abc import Iterator
import time

from lablib import console
from lablib import rbd_pool
from lablib.torture import catalog
from lablib.torture import cloud as cloud_module
from lablib.torture import strangers

# Seconds until all is removed that may be; until Ceph takes a client for dead
# that was killed.
_REMOVED = 120.0
_DEAD = 60.0


class Pool:
    """strangers: what is planted, and has to stay

    notes: what Cinder has left, which is its own affair
    """

    def __init__(self, cloud: cloud_module.Cloud, seed: int) -> None:
        self.strangers = strangers.Strangers(cloud.lab, seed)
        self.notes: list[str] = []
        self._cloud = cloud
        self._lab = cloud.lab
        # Images that were there before, and are nobody's business here.
        self._others: set[str] = set()

    def free(self, volume_id: str) -> None:
        """Remove the snapshots that an earlier run has left of a volume."""
        image = f'volume-{volume_id}'
        if image not in rbd_pool.images(self._lab) or rbd_pool.remove_remains(
            self._lab, image
        ):
            return
        for one in self._taken(image):
            if _is_cinders(one):
                rbd_pool.unprotect_snapshot(self._lab, one)
            rbd_pool.remove_snapshot(self._lab, one)

    def prepare(self) -> None:
        self.strangers.remove_what_is_left()
        self._others = rbd_pool.images(self._lab)
        self.strangers.plant_images()

    def adopt(self, volume_id: str) -> bool:
        """Return whether a volume is in the pool; then it gets strangers."""
        if f'volume-{volume_id}' not in rbd_pool.images(self._lab):
            return False
        self.strangers.plant(volume_id)
        return True

    def take_away(self, volumes: Collection[str], replace: bool) -> None:
        """Remove all snapshots of ours of some volumes, as a stranger would.

        :param replace: let others have their names
        """
        for known in catalog.snapshots(self._lab):
            if known.id is None or known.volume_id not in volumes:
                continue
            snapshot = _of(known)
            if rbd_pool.remove_snapshot(self._lab, snapshot) and replace:
                self.strangers.replace(snapshot)

    def problems(self, volumes: Collection[str]) -> Iterator[str]:
        """Yield what is wrong when each volume's newest image has an anchor.

        :param volumes: those of the model that are in the pool
        """
        self._released()
        anchors = {_of(one) for one in catalog.snapshots(self._lab)}
        for volume in volumes:
            if f'volume-{volume}' not in {one.image for one in anchors}:
                yield f'volume {volume} has no anchor'
        yield from self._snapshots(anchors)
        yield from self.strangers.problems()
        yield from self._used()

    def forsaken(self) -> Iterator[str]:
        """Yield what is left of ours when there is no image any more.

        Then remove what was planted.
        """
        self._released()
        for one in catalog.snapshots(self._lab):
            yield f'anchor {one.name} of volume {one.volume_id} has no image'
        yield from self._snapshots(set())
        yield from self.strangers.problems()
        self.strangers.remove()
        yield from self._remove_cinders()

    def left(self) -> Iterator[str]:
        """Yield what is left when there is no volume any more."""
        for name in self._images():
            yield f'image {name} is left in Ceph'
        for name in rbd_pool.in_trash(self._lab):
            yield f"image {name} is left in Ceph's trash"

    def _released(self) -> None:
        """Wait until all is removed that is not needed."""

        def removed() -> bool:
            known = catalog.snapshots(self._lab)
            return all(one.state == catalog.ANCHOR for one in known)

        catalog.let_an_hour_pass(self._lab)
        self._cloud.wait(removed, 'all snapshots are released', _REMOVED)

    def _snapshots(self, ours: set[rbd_pool.Snapshot]) -> Iterator[str]:
        found = {one for image in self._images() for one in self._taken(image)}
        for one in sorted(ours - found, key=str):
            yield f'anchor {one.name} ({one.id}) of {one.image} is gone'
        for one in sorted(found - ours, key=str):
            if not self.strangers.has(one) and not _is_cinders(one):
                yield f'{one.image} has a snapshot {one.name} of nobody'

    def _remove_cinders(self) -> Iterator[str]:
        """Remove what Cinder forgets of each clone of a volume in use.

        With it, Cinder would keep the image when its volume is deleted.
        """
        for image in self._images():
            for one in filter(_is_cinders, self._taken(image)):
                try:
                    rbd_pool.unprotect_snapshot(self._lab, one)
                    rbd_pool.remove_snapshot(self._lab, one)
                except console.Problem as problem:
                    yield f'snapshot {one.name} of {image}: {problem}'
                else:
                    self.notes.append(
                        f'Cinder had left snapshot {one.name} of {image}'
                    )

    def _images(self) -> list[str]:
        """Return those that were not there before.

        Cinder, if it is killed while it makes or removes a volume, may leave
        a name without an image; eBackup makes and removes none.
        """
        found = []
        for image in sorted(rbd_pool.images(self._lab) - self._others):
            if rbd_pool.remove_remains(self._lab, image):
                self.notes.append(f'Cinder had left the name of image {image}')
            else:
                found.append(image)
        return found

    def _taken(self, image: str) -> list[rbd_pool.Snapshot]:
        return rbd_pool.snapshots(self._lab, image)

    def _used(self) -> Iterator[str]:
        """Yield who uses an image though there is nothing to be done."""
        for image in self._images():
            for user in self._lasting_users(image):
                yield f'image {image} has {user}'

    def _lasting_users(self, image: str) -> list[str]:
        deadline = time.monotonic() + _DEAD
        while users := rbd_pool.users(self._lab, image):
            if time.monotonic() > deadline:
                break
            self._cloud.pause()
        return users


def _is_cinders(snapshot: rbd_pool.Snapshot) -> bool:
    """Return whether its driver for RBD has taken it, to make a clone of."""
    return snapshot.name.endswith('.clone_snap')


def _of(known: catalog.Snapshot) -> rbd_pool.Snapshot:
    return rbd_pool.Snapshot(
        f'volume-{known.volume_id}', known.id or '', known.name
    )
