# SPDX-License-Identifier: Apache-2.0
"""Volumes that an NBD server exports, such as QEMU's.

What changed since an earlier backup a dirty bitmap of QEMU's says. With a
QEMU monitor, snapshots are taken by it, too (nbd_snapshots); without, whoever
runs the server makes the bitmaps, and exports them under the names that the
settings say. There a server may also show an instant of a volume in use, as
libvirt has QEMU do it for a backup in pull mode.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

from oslo_config import cfg

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_library
from ebackup_service.production import nbd_lun
from ebackup_service.production import nbd_opener
from ebackup_service.production import nbd_snapshots

_BITMAP = r'^[A-Za-z0-9_.~:@+-]*\{since\}[A-Za-z0-9_.~:@+-]*\Z'


class NbdStorage:
    """See base.ProductionStorage; it has no connection of its own."""

    SETTINGS: Mapping[str, Any] = {
        'type': 'object',
        'properties': {
            'uri': {
                'type': 'string',
                'maxLength': 1024,
                'pattern': nbd_address.URI,
            },
            'bitmap': {
                'type': 'string',
                'maxLength': 255,
                'pattern': _BITMAP,
            },
            'qmp_socket': {
                'type': 'string',
                'maxLength': 1024,
                'pattern': rf'^{nbd_address.PATH}\Z',
            },
            'qmp_file': {
                'type': 'string',
                'maxLength': 1024,
                'pattern': nbd_address.FILE,
            },
            'point_in_time': {
                'description': 'whether what is exported of a volume stays '
                'as it was at one instant, though the volume is in use',
                'type': 'boolean',
                'default': False,
            },
        },
        'dependentRequired': {
            'qmp_socket': ['qmp_file'],
            'qmp_file': ['qmp_socket'],
        },
        # With a monitor the instants are ours.
        'dependentSchemas': {
            'qmp_socket': {'properties': {'point_in_time': {'const': False}}},
        },
        'required': ['uri'],
        'additionalProperties': False,
    }
    PLACE = frozenset(('uri', 'bitmap', 'qmp_socket', 'qmp_file'))
    REACHED_BY = frozenset(('uri',))
    MEMORY = 0
    CREDENTIALS: Mapping[str, Any] = {
        'type': 'object',
        'properties': {
            'psk_identity': {
                'type': 'string',
                'pattern': r'^[A-Za-z0-9_.@-]{1,128}\Z',
            },
            'psk_key': {
                'type': 'string',
                'pattern': r'^(?:[0-9A-Fa-f]{2}){16,64}\Z',
            },
        },
        'dependentRequired': {
            'psk_identity': ['psk_key'],
            'psk_key': ['psk_identity'],
        },
        'additionalProperties': False,
    }

    # Without a QEMU monitor there are neither snapshots nor anchors.
    capabilities = base.Capabilities(
        allocated_extents=True,
        changed_extents=True,
        snapshots=True,
        anchors=True,
        light_anchors=True,
    )

    def __init__(
        self,
        opener: nbd_opener.Opener,
        uri: str,
        bitmap: str,
        monitors: nbd_snapshots.Monitors | None,
        socket_roots: list[str],
        point_in_time: bool = False,
    ) -> None:
        if monitors is None:
            self.capabilities = dataclasses.replace(
                self.capabilities,
                snapshots=False,
                anchors=False,
                point_in_time=point_in_time,
            )
        self._opener = opener
        self._uri = uri
        self._bitmap = bitmap
        self._monitors = monitors
        self._socket_roots = socket_roots

    @classmethod
    def check_installed(cls) -> None:
        nbd_library.load()

    @classmethod
    def from_conf(
        cls,
        conf: cfg.ConfigOpts,
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        check: Callable[[], None] = base.no_check,
    ) -> 'NbdStorage':
        uri, bitmap = (
            settings['uri'],
            settings.get('bitmap', 'ebackup-{since}'),
        )
        if not re.match(nbd_address.URI, uri) or not re.match(_BITMAP, bitmap):
            raise errors.SettingsInvalid(
                f'{uri} is no URI of an NBD export, with a place for the '
                f"volume's name, or {bitmap} no name of a bitmap: correct the "
                "storage's settings"
            )
        security = nbd_connection.Security(
            conf.nbd.tls_certificates,
            credentials.get('psk_identity'),
            credentials.get('psk_key'),
        )
        opener = nbd_opener.Opener(conf, nbd_library.load(), security, check)
        monitors = None
        if 'qmp_socket' in settings:
            monitors = nbd_snapshots.Monitors(
                conf, settings['qmp_socket'], settings['qmp_file'], check
            )
        return cls(
            opener,
            uri,
            bitmap,
            monitors,
            conf.nbd.socket_roots,
            settings.get('point_in_time', False),
        )

    def find(self, reference: base.Reference) -> nbd_lun.NbdLun:
        words = nbd_address.places(reference)
        address = nbd_address.address(self._uri, words)
        if address.socket:
            real = nbd_address.allowed_socket(
                address.socket, self._socket_roots
            )
            address = address._replace(socket=real)
        snapshots = None
        if self._monitors is not None:
            snapshots = self._monitors.of_volume(
                words,
                lambda export, image: self._opener.fill(
                    address._replace(export=export), image
                ),
            )
        try:
            self._opener.probe(address)
        except errors.VolumeUnknown as e:
            if snapshots is not None and snapshots.may_be_there():
                raise errors.SourceUnavailable(
                    f'{e} at present: let QEMU open and export the volume'
                ) from e
            raise
        lun = nbd_lun.NbdLun(
            self._opener,
            address,
            self._bitmap,
            snapshots,
            self.capabilities.point_in_time,
        )
        if reference.snapshot is not None:
            lun.give(reference.snapshot.name)
        return lun

    def find_kept(
        self, reference: base.Reference, key: str
    ) -> nbd_lun.NbdLun | None:
        try:
            lun = self.find(reference)
        except errors.VolumeUnknown:
            return None
        return lun if lun.key == key else None

    def close(self) -> None:
        pass
