# SPDX-License-Identifier: Apache-2.0
"""Volumes that are attached to the proxy's own host, as devices or files.

Attachment: {'kind': 'attached', 'host': str, 'path': str} and, where the
driver holds the volume, {'lock': int}, the offset of the byte that it has
locked. What changed since the last image nobody tells: the engine compares
chunk ids. Unless what Cinder opened the volume as could tell the driver: then
there is {'changes': {'since': str, 'extents': [[int, int], ...]}}, with the id
of the image, and what may be different from it.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import TYPE_CHECKING

from ebackup_service.production import base
from ebackup_service.production import device
from ebackup_service.production import errors
from ebackup_service.production import file
from ebackup_service.production import hold
from ebackup_service.production import named
from ebackup_service.production import paths

if TYPE_CHECKING:
    from oslo_config import cfg


class AttachedStorage:
    """One proxy's own host.

    :param roots: directories that volumes' paths may lie in
    :param host: the name that attachments to this host carry
    :param check: see base.ProductionStorage.from_conf()
    """

    SETTINGS = None
    CREDENTIALS = None
    PLACE = frozenset[str]()
    REACHED_BY = frozenset[str]()
    MEMORY = 0
    capabilities = base.Capabilities(
        allocated_extents=True, changed_extents=True
    )

    def __init__(
        self,
        roots: list[str],
        host: str,
        check: Callable[[], None] = base.no_check,
    ) -> None:
        self._roots = roots
        self._host = host
        self._check = check

    @classmethod
    def check_installed(cls) -> None:
        pass

    @classmethod
    def from_conf(
        cls,
        conf: 'cfg.ConfigOpts',
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        check: Callable[[], None] = base.no_check,
    ) -> 'AttachedStorage':
        return cls(conf.proxy.attached_roots, conf.proxy.host, check)

    def find(self, reference: base.Reference) -> 'AttachedLun':
        attachment = reference.attachment or {}
        place = self._look(attachment)
        name = paths.shown(attachment['path'])
        return AttachedLun(
            place,
            hold.Hold(name, attachment.get('lock'), self._check),
            attachment.get('changes'),
        )

    def find_kept(
        self, reference: base.Reference, key: str
    ) -> base.Lun | None:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def _look(self, attachment: base.Attachment) -> paths.Place:
        more = ('lock', 'changes')
        texts = {key: attachment[key] for key in attachment if key not in more}
        if (
            set(texts) != {'kind', 'host', 'path'}
            or not all(isinstance(text, str) for text in texts.values())
            or not isinstance(attachment.get('lock', 0), int)
        ):
            raise errors.AttachmentInvalid(
                'an attachment of kind attached has a kind, a host and a '
                'path, all of them text, and maybe a lock, which is a number'
            )
        if attachment['host'] != self._host:
            raise errors.WrongHost(
                f'the volume is attached to host {attachment["host"]!r}, this '
                f'proxy is on {self._host!r}: the job belongs to the proxy on '
                'that host'
            )
        return paths.look(attachment['path'], self._roots)


class WithoutSnapshots:
    """The part of base.Lun that storages have which take none."""

    given: base.Snapshot | None = None

    def take_snapshot(self, name: str) -> base.Snapshot:
        raise NotImplementedError

    def find_snapshot(self, name: str) -> base.Snapshot | None:
        raise NotImplementedError

    def reduce_to_anchor(self, snapshot: base.Snapshot) -> None:
        raise NotImplementedError

    def drop_snapshot(self, snapshot: base.Snapshot) -> None:
        raise NotImplementedError


class AttachedLun(WithoutSnapshots):
    """See base.Lun; it holds nothing open."""

    def __init__(
        self,
        place: paths.Place,
        hold: hold.Hold,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.key = place.path
        self._place = place
        self._hold = hold
        self._changes = changes or {'since': None}

    def open_source(
        self,
        size: int,
        snapshot: base.Snapshot | None = None,
        since: base.Snapshot | None = None,
    ) -> base.Source:
        if since is not None and since.id != self._changes['since']:
            # The job's result shows it to everybody: no path.
            raise errors.DifferenceUnavailable(
                f'nobody says what changed since image {since.id}'
            )
        place = self._place
        opener = device.open_source if place.is_device else file.open_source
        try:
            source = opener(place, size, self._hold)
            if since is None:
                return source
            return named.NamedSource(source, self._changes['extents'])
        except OSError as e:
            raise errors.SourceUnavailable(
                f'{e.strerror} while opening {place.given}: '
                'check the storage behind it, then try again'
            ) from e

    def open_target(self, size: int, volume_is_new: bool) -> base.Target:
        place = self._place
        opener = device.open_target if place.is_device else file.open_target
        try:
            return opener(place, size, self._hold)
        except OSError as e:
            raise errors.TargetUnavailable(
                f'{e.strerror} while opening {place.given}: '
                'check the storage behind it, then restore again'
            ) from e

    def close(self) -> None:
        pass
