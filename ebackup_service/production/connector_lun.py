# SPDX-License-Identifier: Apache-2.0
"""What os-brick has attached: a device, a file, or an image of librbd."""

from collections.abc import Callable
from typing import Any
from typing import Protocol

from ebackup_service.production import attached
from ebackup_service.production import base
from ebackup_service.production import connector_rbd
from ebackup_service.production import errors
from ebackup_service.production import hold
from ebackup_service.production import paths


class Attached(Protocol):
    """See brick.Attached."""

    handle: Any
    protocol: str

    def detach(self) -> None: ...


def found(
    attached_volume: Attached,
    roots: list[str],
    check: Callable[[], None] = base.no_check,
) -> base.Lun:
    """:raises: PathForbidden, PathUnknown, AttachmentInvalid"""
    handle = attached_volume.handle
    if hasattr(handle, 'rbd_image'):
        return connector_rbd.ImageLun(handle, attached_volume.detach, check)
    if isinstance(handle, str):
        # Of some protocols the path is what whoever sent the connection says.
        return PathLun(paths.look(handle, roots), attached_volume, check)
    raise errors.AttachmentInvalid(
        f'os-brick attaches volumes of protocol {attached_volume.protocol} as '
        f'{type(handle).__name__}, which is neither a device nor a file '
        'nor an image of Ceph: the proxy can not read that'
    )


class PathLun(attached.AttachedLun):
    """See base.Lun; attached until it is closed."""

    def __init__(
        self,
        place: paths.Place,
        attached_volume: Attached,
        check: Callable[[], None],
    ) -> None:
        # Who waits for the job holds the volume on another host.
        super().__init__(place, hold.Hold(place.given, None, check))
        self._attached_volume = attached_volume

    def close(self) -> None:
        self._attached_volume.detach()
