# SPDX-License-Identifier: Apache-2.0
"""One volume of an NBD server."""

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_opener
from ebackup_service.production import nbd_snapshots

_DIRTY = 'qemu:dirty-bitmap:'


class NbdLun:
    """See base.Lun; it holds nothing open.

    :param bitmap: what the server calls the bitmap of what changed since an
        earlier backup, if ``snapshots`` is None
    :param snapshots: of the volume, where a QEMU monitor takes them
    :param point_in_time: whether an instant of the volume is what is exported
    """

    def __init__(
        self,
        opener: nbd_opener.Opener,
        address: nbd_address.Address,
        bitmap: str,
        snapshots: nbd_snapshots.Snapshots | None,
        point_in_time: bool = False,
    ) -> None:
        self.key = str(address)
        self.given: base.Snapshot | None = None
        self._opener = opener
        self._address = address
        self._bitmap = bitmap
        self._snapshots = snapshots
        self._point_in_time = point_in_time

    def give(self, name: str) -> None:
        """:raises SnapshotUnknown: the volume has no snapshot of that name"""
        if self._snapshots is not None:
            self.given = self._snapshots.find(name)
        if self.given is None:
            raise errors.SnapshotUnknown(
                f'{self.key} has no snapshot {name}: an NBD server knows none '
                'of those that Cinder takes. Back it up again: it is read '
                'where Cinder attaches it'
            )

    def take_snapshot(self, name: str) -> base.Snapshot:
        return self._taken.take(name)

    def find_snapshot(self, name: str) -> base.Snapshot | None:
        return self._taken.find(name)

    def reduce_to_anchor(self, snapshot: base.Snapshot) -> None:
        self._taken.reduce_to_anchor(snapshot)

    def drop_snapshot(self, snapshot: base.Snapshot) -> None:
        self._taken.drop(snapshot)

    def open_source(
        self,
        size: int,
        snapshot: base.Snapshot | None = None,
        since: base.Snapshot | None = None,
    ) -> base.Source:
        if snapshot is not None:
            return self._open_snapshot(size, snapshot, since)
        if since is None:
            return self._opener.source(
                self._address, size, point_in_time=self._point_in_time
            )
        if self._snapshots is None:
            bitmap = self._bitmap.replace('{since}', since.id)
            return self._opener.source(
                self._address,
                size,
                f'{_DIRTY}{bitmap}',
                point_in_time=self._point_in_time,
            )
        export = self._snapshots.compare(since)
        try:
            return self._opener.source(
                self._address._replace(export=export.name),
                size,
                f'{_DIRTY}{export.bitmap}',
                gone=lambda: nbd_snapshots.uncounted(since),
                release=export.remove,
            )
        except BaseException:
            export.remove()
            raise

    def open_target(self, size: int, volume_is_new: bool) -> base.Target:
        return self._opener.target(self._address, size, volume_is_new)

    def close(self) -> None:
        pass

    @property
    def _taken(self) -> nbd_snapshots.Snapshots:
        if self._snapshots is None:
            raise NotImplementedError
        return self._snapshots

    def _open_snapshot(
        self,
        size: int,
        snapshot: base.Snapshot,
        since: base.Snapshot | None,
    ) -> base.Source:
        taken = self._taken
        dirty = None
        if since is not None:
            dirty = f'{_DIRTY}{taken.difference(snapshot, since)}'

        def gone() -> errors.ProductionError:
            return nbd_snapshots.unreadable(snapshot)

        taken.check_readable(snapshot)
        try:
            return self._opener.source(
                self._address._replace(export=taken.export(snapshot)),
                size,
                dirty,
                gone,
                confirm=lambda: taken.check_readable(snapshot),
            )
        except errors.VolumeUnknown as e:
            raise gone() from e
