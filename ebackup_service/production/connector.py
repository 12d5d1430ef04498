# SPDX-License-Identifier: Apache-2.0
"""Volumes that Cinder exports to the proxy, which attaches them by os-brick.

iSCSI LUNs QEMU reaches, without os-brick, if that is configured, or the kernel
can't.

Attachment: {'driver_volume_type': str, 'data': {...}}, as Cinder's volume
drivers answer it. It holds secrets. What changed since the last image nobody
tells: the engine compares chunk ids.
"""

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any
from typing import TYPE_CHECKING

from ebackup_service.production import base
from ebackup_service.production import brick
from ebackup_service.production import connector_lun
from ebackup_service.production import errors
from ebackup_service.production import initiator
from ebackup_service.production import iscsi
from ebackup_service.production import records

if TYPE_CHECKING:
    from oslo_config import cfg


class ConnectorStorage:
    """Any back end of Cinder that os-brick has a connector for.

    :param load: raises NotInstalled where os-brick can't be used
    :param roots: directories that volumes' paths may lie in
    :param by_qemu: opens the iSCSI LUN of such properties; None: os-brick does
    """

    SETTINGS: Mapping[str, Any] = {
        'type': 'object',
        'additionalProperties': False,
        'properties': {
            'multipath': {
                'description': 'whether proxies use all paths to a volume, by '
                'multipathd',
                'type': 'boolean',
                'default': False,
            },
        },
    }
    # Which volume it is Cinder says, for each connection.
    PLACE = frozenset[str]()
    REACHED_BY = frozenset[str]()
    # Of an image in Ceph kind rbd says it: both need the same modules.
    MEMORY = 0
    CREDENTIALS: Mapping[str, Any] = {
        'type': 'object',
        'additionalProperties': False,
        'properties': {},
    }
    capabilities = base.Capabilities(allocated_extents=True, exported=True)

    def __init__(
        self,
        load: Callable[[], brick.Library],
        kept: records.Records,
        roots: list[str],
        multipath: bool,
        check: Callable[[], None] = base.no_check,
        by_qemu: Callable[[Mapping[str, Any]], base.Lun] | None = None,
    ) -> None:
        self._load = load
        self._records = kept
        self._roots = roots
        self._multipath = multipath
        self._check = check
        self._by_qemu = by_qemu

    @classmethod
    def check_installed(cls) -> None:
        """What is needed depends on how Cinder exports a volume."""

    @classmethod
    def from_conf(
        cls,
        conf: 'cfg.ConfigOpts',
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        check: Callable[[], None] = base.no_check,
    ) -> 'ConnectorStorage':
        def by_qemu(properties: Mapping[str, Any]) -> base.Lun:
            name = initiator.name(conf)
            return iscsi.open_iscsi(conf, properties, name, check)

        return cls(
            functools.partial(brick.load, conf),
            records.of(conf),
            conf.proxy.attached_roots,
            bool(settings.get('multipath')),
            check,
            by_qemu if initiator.is_qemu(conf) else None,
        )

    def find(self, reference: base.Reference) -> base.Lun:
        """Attaches the volume; it is detached when the LUN is closed.

        :raises SourceUnavailable: os-brick could not attach it
        :raises NotInstalled: what reaches it is not there
        """
        protocol, data = _connection(reference.attachment)
        if protocol == 'iscsi' and self._by_qemu is not None:
            return self._by_qemu(data)
        attached = self._load().attach(
            self._records, protocol, data, self._multipath, self._check
        )
        try:
            self._check()
            return connector_lun.found(attached, self._roots, self._check)
        except BaseException:
            attached.detach()
            raise

    def find_kept(
        self, reference: base.Reference, key: str
    ) -> base.Lun | None:
        raise NotImplementedError

    def close(self) -> None:
        pass


def _connection(
    attachment: base.Attachment | None,
) -> tuple[str, Mapping[str, Any]]:
    known = attachment or {}
    protocol, data = known.get('driver_volume_type'), known.get('data')
    if not isinstance(protocol, str) or not isinstance(data, Mapping):
        raise errors.AttachmentInvalid(
            'a connection is made of a driver_volume_type, which is text, and '
            'data, which is an object'
        )
    return protocol, data
