# SPDX-License-Identifier: Apache-2.0
"""One image, its snapshots, and the ways to open it."""

from collections.abc import Iterator
import contextlib
from typing import Any

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import rbd_cluster
from ebackup_service.production import rbd_extents
from ebackup_service.production import rbd_io
from ebackup_service.production import rbd_lock
from ebackup_service.production import rbd_size


def find(
    cluster: rbd_cluster.Cluster, name: str, lock_timeout: float
) -> 'RbdLun':
    """:raises: VolumeUnknown, VolumeBusy, AccessDenied, SourceUnavailable"""
    rbd = cluster.library.rbd
    with cluster.library.explained(f'opening {_shown(cluster, name)}'):
        try:
            with cluster.opened(name=name) as image:
                if image.old_format():
                    raise errors.AttachmentInvalid(
                        f'{_shown(cluster, name)} is of format 1, of which '
                        'changes are not known: copy it to a new image'
                    )
                if image.features() & rbd.RBD_FEATURE_MIGRATING:
                    raise errors.VolumeBusy(
                        f'{_shown(cluster, name)} is being migrated: commit '
                        'or abort that (rbd migration), then try again'
                    )
                return RbdLun(cluster, name, image.id(), lock_timeout)
        except rbd.ImageNotFound as e:
            where = (
                'is in the trash: restore it (rbd trash restore)'
                if cluster.in_trash(name)
                else 'does not exist: is the storage the one of its back end?'
            )
            raise errors.VolumeUnknown(
                f'{_shown(cluster, name)} {where}'
            ) from e


def find_kept(
    cluster: rbd_cluster.Cluster,
    name: str | None,
    key: str,
    lock_timeout: float,
) -> 'RbdLun | None':
    """By the image's id, which it also has in the trash, or renamed.

    :param name: that it had, for messages
    :raises: AccessDenied, SourceUnavailable
    """
    place, _, image_id = key.rpartition('/')
    if place != cluster.key:
        if _is_of_lost_pool(cluster, place):
            return None
        raise errors.SourceUnavailable(
            f'image {image_id} is in {place} (cluster/pool/namespace), and '
            f"{cluster.key} is reached: correct the storage's mon_host, or "
            "the ceph.conf on the proxy's host"
        )
    name = f'{name} (id {image_id})'
    with cluster.library.explained(f'looking for {_shown(cluster, name)}'):
        # Its header is there as long as it has a snapshot.
        if cluster.image_size(image_id) is None:
            return None
    return RbdLun(cluster, name, image_id, lock_timeout)


def _is_of_lost_pool(cluster: rbd_cluster.Cluster, place: str) -> bool:
    """Whether it was in this cluster, in a pool that is gone."""
    known, pool_id, _ = place.split('/', 2)
    reached, *_ = cluster.key.split('/', 1)
    return known == reached and not cluster.has_pool(int(pool_id))


def _shown(cluster: rbd_cluster.Cluster, name: str) -> str:
    return f'image {cluster.pool}/{name}'


class RbdLun:
    """See base.Lun; nothing is open between two calls."""

    def __init__(
        self,
        cluster: rbd_cluster.Cluster,
        name: str,
        image_id: str,
        lock_timeout: float,
    ) -> None:
        self.key = f'{cluster.key}/{image_id}'
        self.given: base.Snapshot | None = None
        self._cluster = cluster
        self._library = cluster.library
        self._name = _shown(cluster, name)
        self._id = image_id
        self._lock_timeout = lock_timeout

    def take_snapshot(self, name: str) -> base.Snapshot:
        with self._opened(f'taking snapshot {name} of', False) as image:
            try:
                self._cluster.calls.run(lambda: image.create_snap(name))
            except self._library.rbd.ImageExists as e:
                raise errors.SnapshotExists(
                    f'{self._name} has a snapshot {name} already'
                ) from e
            snapshot = self._named(image, name)
        if snapshot is None:
            raise errors.SnapshotUnknown(
                f'snapshot {name} of {self._name} was removed by somebody as '
                'soon as it was taken'
            )
        return snapshot

    def find_snapshot(self, name: str) -> base.Snapshot | None:
        with self._opened(f'looking for snapshot {name} of') as image:
            return self._named(image, name)

    def reduce_to_anchor(self, snapshot: base.Snapshot) -> None:
        with self._opened(f'looking for snapshot {snapshot.name} of') as image:
            self._find(image, snapshot)

    def drop_snapshot(self, snapshot: base.Snapshot) -> None:
        rbd = self._library.rbd
        try:
            with self._opened(f'removing {snapshot.name} of', False) as image:
                if snapshot not in self._snapshots(image):
                    return
                self._check_free(image, snapshot)
                try:
                    self._cluster.calls.run(
                        lambda: image.remove_snap_by_id(int(snapshot.id))
                    )
                except rbd.ImageBusy as e:
                    raise self._needed(snapshot) from e
                except rbd.ImageNotFound:
                    pass  # somebody else was faster
        except errors.VolumeUnknown:
            pass  # with its snapshots

    def open_source(
        self,
        size: int,
        snapshot: base.Snapshot | None = None,
        since: base.Snapshot | None = None,
    ) -> base.Source:
        with (
            self._library.explained(f'opening {self._name}'),
            contextlib.ExitStack() as opened,
        ):
            # Of a snapshot, nothing changes that a client would have to be
            # told. A volume could be removed while it is read; not if that is
            # known to Ceph.
            view = self._at(opened, snapshot, snapshot is not None)
            size = rbd_size.of_volume(view.image, self._name, size)
            lister: rbd_extents.Lister = rbd_extents.Allocated(
                self._cluster, view
            )
            if since is not None:
                lister = self._changes(opened, view, snapshot, since)
            return rbd_io.RbdSource(
                *(self._cluster, view.image, self._name, self._id, size),
                *(snapshot, since, lister, opened.pop_all()),
            )

    def open_target(self, size: int, volume_is_new: bool) -> base.Target:
        unavailable = errors.TargetUnavailable
        with (
            self._library.explained(f'opening {self._name}', unavailable),
            contextlib.ExitStack() as opened,
        ):
            view = self._at(opened, None, False)
            image = view.image
            size = rbd_size.of_volume(image, self._name, size)
            rbd_lock.take(self._cluster, image, self._name, self._lock_timeout)
            return rbd_io.RbdTarget(
                *(self._cluster, image, self._name, size),
                volume_is_new and rbd_extents.is_empty(self._cluster, view),
                opened.pop_all(),
            )

    def close(self) -> None:
        pass

    @contextlib.contextmanager
    def _opened(self, doing: str, read_only: bool = True) -> Iterator[Any]:
        with (
            self._library.explained(f'{doing} {self._name}'),
            self._cluster.opened(read_only, image_id=self._id) as image,
        ):
            yield image

    def _at(
        self,
        opened: contextlib.ExitStack,
        snapshot: base.Snapshot | None,
        read_only: bool,
    ) -> rbd_extents.View:
        """The image, open as it was at that snapshot.

        Not opened at the snapshot: librbd 16 aborts the process if an image
        that was opened so is closed at once.
        """
        image = opened.enter_context(
            self._cluster.opened(read_only, image_id=self._id)
        )
        if snapshot is None:
            return rbd_extents.View(image, None)
        self._find(image, snapshot)
        number = int(snapshot.id)
        self._cluster.calls.run(lambda: image.set_snap_by_id(number))
        return rbd_extents.View(image, number)

    def _find(self, image: rbd_cluster.Image, wanted: base.Snapshot) -> None:
        if wanted not in self._snapshots(image):
            raise errors.SnapshotUnknown(
                f'{self._name} has no snapshot {wanted.name} with id '
                f'{wanted.id} (any more)'
            )

    def _named(
        self, image: rbd_cluster.Image, name: str
    ) -> base.Snapshot | None:
        for snapshot in self._snapshots(image):
            if snapshot.name == name:
                return snapshot
        return None

    def _snapshots(self, image: rbd_cluster.Image) -> list[base.Snapshot]:
        """Without those of groups, mirrors and the trash."""
        user = self._library.rbd.RBD_SNAP_NAMESPACE_TYPE_USER
        found = self._cluster.calls.run(lambda: list(image.list_snaps()))
        return [
            base.Snapshot(str(snapshot['id']), snapshot['name'])
            for snapshot in found
            if snapshot['namespace'] == user
        ]

    def _check_free(
        self, image: rbd_cluster.Image, snapshot: base.Snapshot
    ) -> None:
        """Ceph would remove one that has clones, as soon as they are gone."""

        def is_needed() -> bool:
            if image.is_protected_snap(snapshot.name):
                return True
            image.set_snap_by_id(int(snapshot.id))
            children = list(image.list_children2())
            image.set_snap(None)
            return bool(children)

        if self._cluster.calls.run(is_needed):
            raise self._needed(snapshot)

    def _needed(self, snapshot: base.Snapshot) -> errors.SnapshotBusy:
        return errors.SnapshotBusy(
            f'snapshot {snapshot.name} of {self._name} is protected, or was '
            'cloned, by somebody: remove the clones, or flatten them, then '
            'unprotect it (rbd snap unprotect)'
        )

    def _changes(
        self,
        opened: contextlib.ExitStack,
        view: rbd_extents.View,
        snapshot: base.Snapshot | None,
        since: base.Snapshot,
    ) -> 'rbd_extents.Changed':
        """:raises: DifferenceUnavailable"""
        if snapshot is not None and int(since.id) > int(snapshot.id):
            raise _no_difference(since, 'it is the later one')
        try:
            before = self._at(opened, since, True)
        except errors.SnapshotUnknown as e:
            raise _no_difference(since, 'it is gone') from e
        if self._parent(before.image) != self._parent(view.image):
            raise _no_difference(
                since, 'the image was flattened, or made smaller, since'
            )
        return rbd_extents.Changed(self._cluster, view, before, since.name)

    def _parent(self, image: rbd_cluster.Image) -> Any:
        """Which the image's missing objects are read from, and how far."""
        run = self._cluster.calls.run
        try:
            parent = run(image.get_parent_image_spec)
        except self._library.rbd.ImageNotFound:
            return None
        names = ('pool_name', 'pool_namespace', 'snap_name')
        return [
            *(parent[name] for name in names),
            *(run(image.parent_id), run(image.overlap)),
        ]


def _no_difference(
    since: base.Snapshot, why: str
) -> errors.DifferenceUnavailable:
    return errors.DifferenceUnavailable(
        f'what changed since snapshot {since.name} is not known: {why}'
    )
