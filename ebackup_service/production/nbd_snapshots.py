# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a volume that QEMU has open, by its process.

A snapshot with the id ID and the name NAME is, in QEMU,

* the dirty bitmap ebackup-ID-NAME of the volume's node, which counts what is
  written from the snapshot's instant on. It is the anchor: it stays, and lies
  in the image file if that is qcow2, so that it outlives the process;
* the node ebackup-ID, an image over the volume, which the job ebackup-ID
  fills with what is about to be overwritten (a backup job with sync=none), and
  the read-only export ebackup-ID of it. Its file, which has no name, is the
  node ebackup-ID-f, and for as long as its first clusters are written an
  export. They are gone when the process ends;
* on that node, for each earlier snapshot, a bitmap ebackup-EARLIER, which is a
  copy, made at the later snapshot's instant, of the earlier one's.

The bitmaps, the copies and the job begin in one transaction, so they are of
one instant. A bitmap that didn't count all the time (inconsistent after a
crash, disabled, in use) is not copied, and then there is no difference.

ID is a digest of the volume and NAME, and random digits. So what was begun
for a NAME, before there is a bitmap, is found and removed later.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import glob
import hashlib
import os
import secrets
from typing import Any
from typing import NamedTuple

from oslo_config import cfg

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_bitmaps
from ebackup_service.production import qcow2
from ebackup_service.production import qemu
from ebackup_service.production import qmp

_PREFIX = nbd_bitmaps.PREFIX
_DIGITS = nbd_bitmaps.DIGITS


class Export(NamedTuple):
    """Of a volume with a bitmap, for as long as it is read.

    remove: takes it away
    """

    name: str
    bitmap: str
    remove: Callable[[], None]


class Monitors:
    """Of one QEMU process for all volumes, or of one for each.

    :param socket: template of the process's socket
    :param file: template of the volume's image
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        socket: str,
        file: str,
        check: Callable[[], None],
    ) -> None:
        self._conf = conf
        self._socket = socket
        self._file = file
        self._check = check

    def of_volume(
        self, words: Mapping[str, str], write: Callable[[str, bytes], None]
    ) -> 'Snapshots':
        """Make what takes snapshots of a volume.

        :param words: for the templates' places
        :param write: fills an export of the process, which has that size
        """
        timeout = self._conf.nbd.timeout
        path = nbd_address.allowed_socket(
            nbd_address.fill(self._socket, words), self._conf.nbd.socket_roots
        )
        return Snapshots(
            lambda: qemu.Qemu(
                qmp.Monitor(path, timeout, self._check), timeout
            ),
            nbd_address.fill(self._file, words),
            self._conf.nbd.scratch_directory,
            write,
        )


class Snapshots:
    """Of one volume. For one thread at a time."""

    def __init__(
        self,
        connect: Callable[[], qemu.Qemu],
        file: str,
        scratch_directory: str,
        write: Callable[[str, bytes], None],
    ) -> None:
        self._connect = connect
        self._file = file
        self._directory = scratch_directory
        self._write = write

    def may_be_there(self) -> bool:
        """Whether the volume may have snapshots, though QEMU has it not open.

        It has none if where it was is no file any more.
        """
        return os.path.exists(self._file) or not os.path.isdir(
            os.path.dirname(self._file)
        )

    def find(self, name: str) -> base.Snapshot | None:
        """It may be an anchor only. Removes what was begun without success."""
        with self._told() as process:
            found = nbd_bitmaps.named(self._node(process), name)
            if found is None:
                self._clear(process, self._digest(name))
            return found

    def take(self, name: str) -> base.Snapshot:
        """See base.Lun.take_snapshot()."""
        with self._told() as process:
            node = self._node(process)
            if nbd_bitmaps.named(node, name) is not None:
                raise errors.SnapshotExists(
                    f'{self._file} has a snapshot {name} already'
                )
            digest = self._digest(name)
            self._clear(process, digest)
            snapshot = base.Snapshot(
                digest + secrets.token_hex(_DIGITS // 2), name
            )
            try:
                self._make_scratch(process, snapshot, node)
                self._begin(process, snapshot, node)
            except BaseException:
                # If that fails, too, find() does it later.
                with contextlib.suppress(Exception):
                    self._remove(process, snapshot)
                raise
            return snapshot

    def reduce_to_anchor(self, snapshot: base.Snapshot) -> None:
        """See base.Lun."""
        with self._told() as process:
            node = self._node(process)
            if nbd_bitmaps.named(node, snapshot.name) != snapshot:
                raise errors.SnapshotUnknown(
                    f'{self._file} has no snapshot {snapshot.name} any more'
                )
            self._clear(process, snapshot.id)

    def drop(self, snapshot: base.Snapshot) -> None:
        """See base.Lun.drop_snapshot()."""
        with self._told() as process:
            self._remove(process, snapshot)

    def check_readable(self, snapshot: base.Snapshot) -> None:
        """Whether an export has what the snapshot holds.

        :raises SnapshotUnknown: it has not, or no more
        """
        scratch = _PREFIX + snapshot.id
        with self._told() as process:
            jobs = process.execute('query-jobs')
            if not any(
                job['id'] == scratch
                and job['type'] == 'backup'
                and job['status'] in ('running', 'paused')
                and 'error' not in job
                for job in jobs
            ):
                raise unreadable(snapshot)

    def export(self, snapshot: base.Snapshot) -> str:
        """The name of a readable snapshot's export."""
        return _PREFIX + snapshot.id

    def difference(self, snapshot: base.Snapshot, since: base.Snapshot) -> str:
        """The bitmap, of the snapshot's export, of what changed since.

        :raises DifferenceUnavailable: there is none
        """
        scratch, copy = _PREFIX + snapshot.id, _PREFIX + since.id
        with self._told() as process:
            for node in process.nodes():
                if node['node-name'] == scratch and any(
                    bitmap.get('name') == copy
                    for bitmap in node['dirty-bitmaps']
                ):
                    return copy
        raise uncounted(since)

    def compare(self, since: base.Snapshot) -> Export:
        """Export the volume as it is now, with what changed since.

        :raises DifferenceUnavailable: nothing counts that
        """
        with self._told() as process:
            node = self._node(process)
            anchor = nbd_bitmaps.name_of(since)
            name = f'{_PREFIX}{since.id}.{secrets.token_hex(_DIGITS // 2)}'
            for bitmap in node['dirty-bitmaps']:
                if bitmap.get('name') == anchor and nbd_bitmaps.counts(bitmap):
                    break
            else:
                raise uncounted(since)
            actions = nbd_bitmaps.copy(node, anchor, node['node-name'], name)
            process.execute('transaction', actions=actions)
            process.execute(
                'block-export-add',
                type='nbd',
                id=name,
                node_name=node['node-name'],
                name=name,
                writable=False,
                bitmaps=[name],
            )

        def remove() -> None:
            with self._told() as later:
                self._clear(later, name.removeprefix(_PREFIX))

        return Export(name, name, remove)

    @contextlib.contextmanager
    def _told(self) -> Iterator[qemu.Qemu]:
        """The process; what it refuses becomes an error of ours."""
        with self._connect() as process:
            try:
                yield process
            except qmp.Refused as e:
                raise errors.SourceUnavailable(
                    f'QEMU does not do for {self._file} what a snapshot '
                    f'needs: {e}'
                ) from e

    def _node(self, process: qemu.Qemu) -> dict[str, Any]:
        return process.image(self._file, _PREFIX)

    def _digest(self, name: str) -> str:
        text = f'{self._file}\0{name}'.encode()
        return hashlib.blake2b(text, digest_size=_DIGITS // 2).hexdigest()

    def _make_scratch(
        self,
        process: qemu.Qemu,
        snapshot: base.Snapshot,
        node: dict[str, Any],
    ) -> None:
        """An image over the volume; its file has no name when it is there."""
        scratch = _PREFIX + snapshot.id
        path = os.path.join(self._directory, f'{scratch}.qcow2')
        protocol = f'{scratch}-f'
        image = qcow2.empty(node['image']['virtual-size'])
        process.create_file(scratch, path, len(image))
        try:
            process.execute(
                'blockdev-add',
                driver='file',
                node_name=protocol,
                filename=path,
            )
        finally:
            self._unlink(path)
        process.execute(
            'block-export-add',
            type='nbd',
            id=protocol,
            node_name=protocol,
            name=protocol,
            writable=True,
        )
        self._write(protocol, image)
        process.remove_export(protocol, 'hard')
        process.execute(
            'blockdev-add',
            driver='qcow2',
            node_name=scratch,
            file=protocol,
            backing=node['node-name'],
        )

    def _begin(
        self,
        process: qemu.Qemu,
        snapshot: base.Snapshot,
        node: dict[str, Any],
    ) -> None:
        """The snapshot's instant; from then on it can be read."""
        scratch = _PREFIX + snapshot.id
        copies = []
        actions = []
        for bitmap in node['dirty-bitmaps']:
            earlier = nbd_bitmaps.snapshot_of(bitmap.get('name', ''))
            if earlier is not None and nbd_bitmaps.counts(bitmap):
                copy = _PREFIX + earlier.id
                actions += nbd_bitmaps.copy(
                    node, bitmap['name'], scratch, copy
                )
                copies.append(copy)
        actions += [
            {
                'type': 'block-dirty-bitmap-add',
                'data': {
                    'node': node['node-name'],
                    'name': nbd_bitmaps.name_of(snapshot),
                    'granularity': nbd_bitmaps.GRANULARITY,
                    'persistent': node['drv'] == 'qcow2',
                },
            },
            {
                'type': 'blockdev-backup',
                'data': {
                    'job-id': scratch,
                    'device': node['node-name'],
                    'target': scratch,
                    'sync': 'none',
                },
            },
        ]
        process.execute('transaction', actions=actions)
        process.execute(
            'block-export-add',
            type='nbd',
            id=scratch,
            node_name=scratch,
            name=scratch,
            writable=False,
            bitmaps=[{'node': scratch, 'name': copy} for copy in copies],
        )

    def _remove(self, process: qemu.Qemu, snapshot: base.Snapshot) -> None:
        """The bitmap goes last: by it, the rest is found."""
        self._clear(process, snapshot.id)
        node = self._node(process)
        for bitmap in node['dirty-bitmaps']:
            if bitmap.get('name') == nbd_bitmaps.name_of(snapshot):
                process.remove_bitmap(node, bitmap['name'])

    def _clear(self, process: qemu.Qemu, beginning: str) -> None:
        """Remove all but anchors that have ids, or the beginning of one.

        :raises SnapshotBusy: somebody reads from it
        """
        for export in process.execute('query-block-exports'):
            if export['id'].startswith(_PREFIX + beginning):
                process.remove_export(export['id'])
        for job in process.execute('query-jobs'):
            if job['id'].startswith(_PREFIX + beginning):
                process.end_job(job)
        nodes = process.nodes()
        for node in sorted(nodes, key=lambda node: len(node['node-name'])):
            if node['node-name'].startswith(_PREFIX + beginning):
                process.execute('blockdev-del', node_name=node['node-name'])
            elif node['image'].get('filename') == self._file:
                for bitmap in node['dirty-bitmaps']:
                    name = bitmap.get('name', '')
                    if name.startswith(_PREFIX + beginning) and (
                        nbd_bitmaps.snapshot_of(name) is None
                    ):
                        process.remove_bitmap(node, name)
        pattern = f'{_PREFIX}{beginning}*.qcow2'
        for path in glob.glob(os.path.join(self._directory, pattern)):
            self._unlink(path)

    def _unlink(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as e:
            raise errors.SourceUnavailable(
                f'{path} can not be removed ({e.strerror}): let this proxy '
                'write to the [nbd] scratch_directory that QEMU writes to'
            ) from e


def unreadable(snapshot: base.Snapshot) -> errors.SnapshotUnknown:
    return errors.SnapshotUnknown(
        f'what snapshot {snapshot.name} held can not be read any more: it was '
        'reduced to an anchor, its job was ended, or QEMU was started anew'
    )


def uncounted(since: base.Snapshot) -> errors.DifferenceUnavailable:
    return errors.DifferenceUnavailable(
        'the volume has no dirty bitmap (any more) that has counted all that '
        f'changed since snapshot {since.name}'
    )
