# SPDX-License-Identifier: Apache-2.0
"""What is asked of a QEMU process: images, jobs, exports and bitmaps."""

from collections.abc import Callable
import contextlib
import time
from types import TracebackType
from typing import Any

from ebackup_service.production import errors
from ebackup_service.production import qmp

_PAUSE = 0.01  # seconds between two looks whether something has ended
# Formats of images; what QEMU calls a node's driver may also be a protocol, or
# a filter.
_FORMATS = ('qcow2', 'raw')
_OVER = ('', 'concluded')  # a job that is gone has no status


class Qemu:
    """A process behind a monitor, for one thread.

    :param timeout: seconds for what ends by itself
    """

    def __init__(self, monitor: qmp.Monitor, timeout: float) -> None:
        self._monitor = monitor
        self._timeout = timeout
        self.execute = monitor.execute

    def __enter__(self) -> 'Qemu':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._monitor.close()

    def nodes(self) -> list[dict[str, Any]]:
        nodes = self.execute('query-named-block-nodes', flat=True)
        return [{'dirty-bitmaps': [], **node} for node in nodes]

    def image(self, file: str, ours: str) -> dict[str, Any]:
        """The node of an image that a guest, or a server, has open.

        :param ours: how the names begin of nodes that may lie over it
        :raises VolumeUnknown: there is none
        :raises VolumeBusy: what is written doesn't go to it
        """
        nodes = self.nodes()
        found = [
            node
            for node in nodes
            if node['drv'] in _FORMATS
            and node['image'].get('filename') == file
        ]
        if len(found) != 1:
            raise errors.VolumeUnknown(
                f'QEMU has {file} open {len(found)} times as an image, not '
                'once: is it the right monitor, and the right file?'
            )
        if found[0]['ro'] or any(
            node.get('backing_file') == file
            and node['drv'] in _FORMATS
            and not node['node-name'].startswith(ours)
            for node in nodes
        ):
            raise errors.VolumeBusy(
                f'what is written does not go to {file}, but to an overlay, '
                'or QEMU only reads it: commit the overlay first'
            )
        return found[0]

    def create_file(self, job: str, path: str, size: int) -> None:
        """Create a file, by a job that takes this name as long as it runs.

        QEMU could make an image in it as well. But QEMU 7.2 aborts, a guest's
        as well, if any client of any of its monitors lists nodes while that
        job opens the new image.
        """
        options = {'driver': 'file', 'filename': path, 'size': size}
        self.execute('blockdev-create', job_id=job, options=options)
        found = self._ended(job)
        self.execute('job-dismiss', id=job)
        if 'error' in found:
            raise qmp.Refused(found['error'])

    def end_job(self, job: dict[str, Any]) -> None:
        """:param job: as query-jobs had it; it may have ended since"""
        with contextlib.suppress(qmp.Refused):
            self.execute('job-cancel', id=job['id'])
        if self._ended(job['id']):
            with contextlib.suppress(qmp.Refused):
                self.execute('job-dismiss', id=job['id'])

    def remove_export(self, export: str, mode: str = 'safe') -> None:
        """Remove it.

        :param mode: ``hard`` ends the connections of who still uses it
        :raises SnapshotBusy: somebody uses it
        """
        try:
            self.execute('block-export-del', id=export, mode=mode)
        except qmp.Refused as e:
            raise errors.SnapshotBusy(
                f'export {export} can not be removed ({e}): somebody reads '
                'it; wait until that has ended'
            ) from e
        self._until(
            lambda: (
                all(
                    other['id'] != export
                    for other in self.execute('query-block-exports')
                )
                or None
            ),
            f'export {export}',
        )

    def remove_bitmap(self, node: dict[str, Any], name: str) -> None:
        self.execute(
            'block-dirty-bitmap-remove', node=node['node-name'], name=name
        )

    def _ended(self, job: str) -> dict[str, Any]:
        """Wait for a job; its last state, or nothing if it is gone."""

        def state() -> dict[str, Any] | None:
            jobs = self.execute('query-jobs')
            found: dict[str, Any] = next(
                (one for one in jobs if one['id'] == job), {}
            )
            return found if found.get('status', '') in _OVER else None

        last: dict[str, Any] = self._until(state, f'job {job}')
        return last

    def _until(self, found: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + self._timeout
        while (result := found()) is None:
            if time.monotonic() >= end:
                raise errors.SourceUnavailable(
                    f'{what} of QEMU does not end: look what it waits for'
                )
            time.sleep(_PAUSE)
        return result
