# SPDX-License-Identifier: Apache-2.0
"""Ceph's own Python modules, which are no packages of PyPI."""

from collections.abc import Iterator
import contextlib
import errno
import importlib
import os
from typing import Any
from typing import NamedTuple

from ebackup_service.production import errors


class Library(NamedTuple):
    """The modules ``rados`` and ``rbd``."""

    rados: Any
    rbd: Any

    @contextlib.contextmanager
    def explained(
        self,
        doing: str,
        unavailable: type[errors.ProductionError] = errors.SourceUnavailable,
        missing: type[errors.ProductionError] = errors.VolumeUnknown,
    ) -> Iterator[None]:
        """Turn Ceph's errors into ours.

        :param doing: completes "while", such as 'reading image x'
        :param unavailable: what to raise for whatever may pass
        :param missing: what to raise for what is not there
        """
        try:
            yield
        except (self.rados.Error, self.rbd.Error, OSError) as e:
            code = getattr(e, 'errno', None) or 0
            if code == errno.ENOENT:
                raise missing(
                    f'Ceph has no such object (any more), while {doing}'
                ) from e
            if code in _DENIED:
                raise errors.AccessDenied(
                    f'Ceph permits it not, while {doing}: check the key and '
                    "the capabilities of the storage's user, also for the "
                    'pools of parents of a cloned image'
                ) from e
            if code == errno.EBUSY:
                raise errors.VolumeBusy(
                    f'another client has the image for itself, while {doing}'
                ) from e
            text, advice = _CAUSES.get(
                code,
                (os.strerror(code) if code else str(e), 'try again'),
            )
            raise unavailable(f'{text} while {doing}: {advice}') from e


_DENIED = (errno.EPERM, errno.EACCES)
_LOOK_AT_CEPH = 'check its health, then try again'
_CAUSES = {
    errno.ETIMEDOUT: ('Ceph did not answer in time', _LOOK_AT_CEPH),
    errno.EIO: ('Ceph reports an I/O error', _LOOK_AT_CEPH),
    errno.ENOSPC: ('the pool is full', 'add space, then try again'),
    errno.EDQUOT: ("the pool's quota is reached", 'raise it, then try again'),
    # EBLOCKLISTED is another name of it
    errno.ESHUTDOWN: (
        'Ceph has locked this proxy out',
        'another client took the image over; find out which',
    ),
    errno.EROFS: (
        'the image can not be written',
        "is it another cluster's mirror, or has another client its lock?",
    ),
}


def load() -> Library:
    """:raises: NotInstalled"""
    try:
        return Library(
            importlib.import_module('rados'), importlib.import_module('rbd')
        )
    except ImportError as e:
        raise errors.NotInstalled(
            'the modules rados and rbd are missing: install the packages '
            'python3-rados and python3-rbd, for the Python that the proxy '
            'runs with'
        ) from e
