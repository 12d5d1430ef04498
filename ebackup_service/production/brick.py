# SPDX-License-Identifier: Apache-2.0
"""os-brick: attaches to this host what Cinder exports to it.

Its messages, and what it logs in detail, may have secrets of connections in
them: nothing of that gets into an error, or into our log. Names of its errors
say what went wrong.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import copy
import functools
import importlib
import importlib.util
import logging
import os
import re
import threading
from typing import Any
from typing import TYPE_CHECKING

from oslo_utils import netutils

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import rbd_closing
from ebackup_service.production import records
from ebackup_service.production import waits

if TYPE_CHECKING:
    from oslo_config import cfg

LOG = logging.getLogger(__name__)

# How often os-brick looks for a device, with growing pauses; as Cinder does by
# default.
_SCANS = 3
# What takes part in attaching and may log how.
_TALKATIVE = (
    'os_brick',
    'oslo.privsep.daemon',
    'oslo_privsep',
    'oslo_concurrency.processutils',
)
_SECRET = re.compile(
    'pass|secret|key|auth|token|cred|chap|user', re.IGNORECASE
)

# Where os-brick has not said what it has attached.
_UNKNOWN = 'which device is not known'

_lock = threading.Lock()  # protects what is global to os-brick


def check_installed() -> None:
    """:raises: NotInstalled"""
    if importlib.util.find_spec('os_brick') is None:
        raise errors.NotInstalled(
            'os-brick is missing: install cinder-ebackup[connector]'
        )


def load(conf: 'cfg.ConfigOpts') -> 'Library':
    """os-brick, with its options set; these are global to the process.

    :raises: NotInstalled
    """
    check_installed()
    if not conf.proxy.privsep_helper:
        raise errors.NotInstalled(
            'os-brick, which attaches volumes to this host, needs a helper '
            'that is root: set [proxy] privsep_helper. Without it only iSCSI '
            'LUNs are reached, with [proxy] iscsi_initiator = qemu'
        )
    with _lock:
        module = importlib.import_module('os_brick.initiator.connector')
        importlib.import_module('os_brick.privileged')
        oslo_config: Any = importlib.import_module('oslo_config.cfg')
        options = oslo_config.CONF
        directory = os.path.join(conf.state_path, 'locks')
        os.makedirs(directory, mode=0o700, exist_ok=True)
        options.set_override('lock_path', directory, 'os_brick')
        options.set_override(
            'helper_command', conf.proxy.privsep_helper, 'privsep_osbrick'
        )
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(logging.CRITICAL)
    return Library(module, conf.proxy.attach_timeout)


class Library:
    """The part of os-brick that is needed; for several threads at once.

    :param timeout: seconds that attaching a volume, or detaching it, may take
    """

    def __init__(self, module: Any, timeout: float) -> None:
        self._module = module
        self._timeout = timeout

    def properties(self) -> dict[str, Any]:
        """By which Cinder's volume drivers know this host; no secrets.

        :raises NotInstalled: os-brick can't tell
        """
        try:
            found = self._module.get_connector_properties(
                'sudo', netutils.get_my_ipv4(), False, False
            )
        except Exception as e:
            raise errors.NotInstalled(
                f'os-brick can not tell what it knows of this host '
                f'({_brief(e)}): does [proxy] privsep_helper work?'
            ) from None
        return dict(found)

    def attach(
        self,
        kept: records.Records,
        protocol: str,
        data: Mapping[str, Any],
        multipath: bool,
        check: Callable[[], None],
    ) -> 'Attached':
        """Attach a volume, having recorded that.

        It can't be interrupted: what is attached after its time, or after the
        job was stopped, is detached then.

        :param check: see base.ProductionStorage.from_conf()
        :raises AttachmentInvalid: there is no such protocol
        :raises SourceUnavailable: it could not be attached
        """
        connector = self._connector(protocol, multipath)
        properties = copy.deepcopy(dict(data))
        # What is read is what the storage has, as it is.
        properties['encrypted'] = False
        record = kept.begin(
            {
                'protocol': protocol,
                'multipath': multipath,
                'data': without_secrets(properties),
            }
        )
        attached = Attached(
            connector, protocol, properties, record, self._timeout
        )
        try:
            waits.ended(
                attached.connect,
                check,
                lambda _: attached.detach(),
                self._timeout,
            )
        except waits.NotEnded:
            raise errors.SourceUnavailable(
                f'os-brick did not attach the volume by {protocol} within '
                f'{self._timeout:g} s ([proxy] attach_timeout): does '
                'this host reach the storage?'
            ) from None
        LOG.info('Attached a volume by %s', protocol)
        return attached

    def clean(self, kept: records.Records) -> None:
        """Detach what earlier processes have left attached.

        What can't be detached now stays recorded, for the next start.
        """
        for record in kept.left():
            known = record.content
            protocol, device = known['protocol'], known.get('device') or {}
            try:
                connector = self._connector(protocol, known['multipath'])
                _disconnect(connector, known['data'], device)
            except Exception as e:
                LOG.warning(
                    'What an earlier process had attached by %s (%s) could '
                    'not be detached: %s; the proxy tries again when it '
                    'starts, unless you detach it',
                    protocol,
                    _path(device) or _UNKNOWN,
                    _brief(e),
                )
                record.leave()
            else:
                LOG.info(
                    'Detached what an earlier process had attached by %s',
                    protocol,
                )
                record.end()

    def _connector(self, protocol: str, multipath: bool) -> Any:
        try:
            return self._module.InitiatorConnector.factory(
                protocol,
                'sudo',
                use_multipath=multipath,
                device_scan_attempts=_SCANS,
            )
        except Exception as e:
            raise errors.AttachmentInvalid(
                f'os-brick has no connector for protocol {protocol!r} here '
                f'({_brief(e)})'
            ) from None


class Attached:
    """A volume while it is attached to this host; for one thread at a time.

    :ivar handle: a path, or an object of os-brick's to read and write by
    """

    def __init__(
        self,
        connector: Any,
        protocol: str,
        properties: Mapping[str, Any],
        record: records.Record,
        timeout: float,
    ) -> None:
        self.protocol = protocol
        self.handle: Any = None
        self._connector = connector
        self._properties = properties
        self._timeout = timeout
        self._record: records.Record | None = record
        self._device: dict[str, Any] = {}

    def connect(self) -> None:
        """What was attached by half, when it fails, is detached.

        :raises SourceUnavailable: it could not be attached
        """
        try:
            self._connect()
        except BaseException as e:
            self.detach()
            raise errors.SourceUnavailable(
                f'os-brick could not attach the volume by {self.protocol} '
                f'({_brief(e)}): does this host reach the storage, and has it '
                'what that protocol needs?'
            ) from None

    def _connect(self) -> None:
        self._device = dict(self._connector.connect_volume(self._properties))
        self.handle = self._device.get('path')
        # Of an image of Ceph: it has the key in it, and librados has read it.
        written = getattr(self.handle, 'rbd_conf', None)
        if written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(written)
        assert self._record is not None
        self._record.add({'device': without_secrets(self._device)})

    def detach(self) -> None:
        """May be called twice. What fails is left to the next start.

        What takes too long ends, or fails, when nobody waits for it any more.
        """
        record, self._record = self._record, None
        if record is None:
            return
        try:
            waits.ended(
                functools.partial(self._detach, record),
                base.no_check,
                seconds=self._timeout,
            )
        except waits.NotEnded:
            LOG.warning(
                'A volume attached by %s (%s) is not detached after %g s '
                '([proxy] attach_timeout): its job does not wait any longer',
                self.protocol,
                _path(self._device) or _UNKNOWN,
                self._timeout,
            )

    def _detach(self, record: records.Record) -> None:
        image = getattr(self.handle, 'rbd_image', None)
        if image is not None:
            rbd_closing.release_lock(image)
        try:
            _disconnect(self._connector, self._properties, self._device)
        except Exception as e:
            LOG.warning(
                'A volume attached by %s (%s) could not be detached: %s; the '
                'proxy tries again when it starts, unless you detach it',
                self.protocol,
                _path(self._device) or _UNKNOWN,
                _brief(e),
            )
            record.leave()
        else:
            LOG.info('Detached a volume from %s', self.protocol)
            record.end()


def _disconnect(
    connector: Any, properties: Mapping[str, Any], device: Mapping[str, Any]
) -> None:
    """Detach by force.

    :raises: what os-brick does, unless the device is gone all the same
    """
    try:
        # It does all that it can before it tells what failed.
        connector.disconnect_volume(properties, device, force=True)
    except Exception:
        if not _gone(device):
            raise


def _gone(device: Mapping[str, Any]) -> bool:
    path = _path(device)
    try:
        if path is not None:
            os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _path(device: Mapping[str, Any]) -> str | None:
    path = device.get('path')
    return path if isinstance(path, str) else None


def without_secrets(value: Any) -> Any:
    """What of a connection may be written down: enough to end it."""
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item)
            for key, item in value.items()
            if isinstance(key, str) and not _SECRET.search(key)
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else None


def _brief(error: BaseException) -> str:
    """Nothing that an error quotes: commands have secrets, too."""
    code = getattr(error, 'exit_code', None)
    name = type(error).__name__
    return name if code is None else f'{name}, exit code {code}'
