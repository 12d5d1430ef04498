# SPDX-License-Identifier: Apache-2.0
"""LUNs behind iSCSI, where the kernel has no initiator.

qemu-storage-daemon has one. It is started for each source and target, and
exports the LUN to this process by NBD. The properties are those that os-brick
takes for a connection of type iscsi (the ``data`` of Cinder's
connection_info). They hold the CHAP secret, which goes to QEMU by its monitor,
and nowhere else.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from oslo_config import cfg

from ebackup_service.production import attached
from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_library
from ebackup_service.production import nbd_opener
from ebackup_service.production import qemu
from ebackup_service.production import qemu_process
from ebackup_service.production import qmp

_NODE = 'lun'
# Statuses of a login (RFC 7143, 11.13.5): status class 2, and the detail.
_DENIED = ('(513)', '(514)')  # authentication, authorization failed
_UNKNOWN = ('(515)', 'LOGICAL_UNIT_NOT_SUPPORTED')
_MISSING = ("does not accept value 'iscsi'", "Unknown driver 'iscsi'")


class _Path(NamedTuple):
    portal: str
    target: str
    lun: int

    def __str__(self) -> str:
        return f'LUN {self.lun} of {self.target} at {self.portal}'


def check_installed() -> None:
    """:raises NotInstalled: libnbd or qemu-storage-daemon is missing"""
    nbd_library.load()
    qemu_process.check_installed()


def clean(conf: cfg.ConfigOpts) -> None:
    """End what proxies that were killed have left on this host."""
    qemu_process.clean(conf.nbd.process_directory)


def open_iscsi(
    conf: cfg.ConfigOpts,
    properties: Mapping[str, Any],
    initiator: str,
    check: Callable[[], None] = base.no_check,
) -> 'IscsiLun':
    """A LUN, to which nothing is connected before it is read or written.

    :param properties: target_portal, target_iqn, target_lun, or these in the
        plural for several paths, of which the first good one is taken;
        auth_method, auth_username, auth_password; access_mode
    :param initiator: the name that the target knows this host by
    :param check: see base.ProductionStorage.from_conf()
    :raises NotInstalled: see check_installed()
    :raises AttachmentInvalid: the properties are not those of such a LUN
    """
    check_installed()
    clean(conf)
    return IscsiLun(conf, _checked(properties), initiator, check)


class IscsiLun(attached.WithoutSnapshots):
    """See base.Lun; knows nothing of changes."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        properties: Mapping[str, Any],
        initiator: str,
        check: Callable[[], None],
    ) -> None:
        self._conf = conf
        self._properties = properties
        self._initiator = initiator
        self._check = check
        self._paths = list(_paths(properties))
        self._opener = nbd_opener.Opener(
            conf, nbd_library.load(), nbd_connection.Security(''), check
        )
        self.key = f'{self._paths[0].target}/{self._paths[0].lun}'

    def open_source(
        self,
        size: int,
        snapshot: base.Snapshot | None = None,
        since: base.Snapshot | None = None,
    ) -> base.Source:
        process = self._start(writable=False)
        try:
            return self._opener.source(
                _address(process), size, release=process.end, name=self.key
            )
        except BaseException:
            process.end()
            raise

    def open_target(self, size: int, volume_is_new: bool) -> base.Target:
        if self._properties.get('access_mode', 'rw') != 'rw':
            raise errors.AccessDenied(
                f'Cinder lets LUN {self.key} only be read: attach it for '
                'writing'
            )
        process = self._start(writable=True)
        try:
            return self._opener.target(
                _address(process),
                size,
                volume_is_new,
                release=process.end,
                name=self.key,
            )
        except BaseException:
            process.end()
            raise

    def close(self) -> None:
        pass

    def _start(self, writable: bool) -> qemu_process.Process:
        """A process that exports the LUN.

        :raises AccessDenied: the target refuses who we are; it is asked once
        :raises VolumeUnknown: it has no such LUN
        :raises SourceUnavailable: it can't be reached
        """
        nbd = self._conf.nbd
        process = qemu_process.Process(
            nbd.process_directory, nbd.timeout, self._check
        )
        try:
            with process.monitor() as monitor:
                login = self._login(monitor)
                self._connect(monitor, login, writable)
                monitor.execute(
                    'block-export-add',
                    type='nbd',
                    id=_NODE,
                    node_name=_NODE,
                    name=_NODE,
                    writable=writable,
                )
        except BaseException:
            process.end()
            raise
        return process

    def _login(self, monitor: qemu.Qemu) -> dict[str, str]:
        """Give QEMU the CHAP secret, if there is one."""
        if not self._properties.get('auth_method'):
            return {}
        try:
            monitor.execute(
                'object-add',
                qom_type='secret',
                id='chap',
                data=self._properties['auth_password'],
            )
        except qmp.Refused:
            # What it says may have the secret in it.
            raise errors.AccessDenied(
                f'QEMU does not take the CHAP secret of LUN {self.key}'
            ) from None
        return {
            'user': self._properties['auth_username'],
            'password-secret': 'chap',
        }

    def _connect(
        self, monitor: qemu.Qemu, login: Mapping[str, str], writable: bool
    ) -> None:
        for number, path in enumerate(self._paths, 1):
            try:
                monitor.execute(
                    'blockdev-add',
                    driver='iscsi',
                    node_name=_NODE,
                    transport='tcp',
                    portal=path.portal,
                    target=path.target,
                    lun=path.lun,
                    initiator_name=self._initiator,
                    read_only=not writable,
                    discard='unmap',
                    **login,
                )
                return
            except qmp.Refused as e:
                error = _error(path, str(e).strip())
                if number == len(self._paths) or not error.retryable:
                    raise error from e


def _error(path: _Path, said: str) -> errors.ProductionError:
    if any(word in said for word in _DENIED):
        return errors.AccessDenied(
            f'{path} refuses the CHAP user or secret: {said}'
        )
    if any(word in said for word in _UNKNOWN):
        return errors.VolumeUnknown(f'{path} is not there: {said}')
    if any(word in said for word in _MISSING):
        return errors.NotInstalled(
            'QEMU on this proxy knows no iSCSI: install its block drivers '
            '(Debian and Ubuntu: qemu-block-extra)'
        )
    return errors.SourceUnavailable(
        f'{path} can not be reached: {said}; check the target and the network'
    )


def _address(process: qemu_process.Process) -> nbd_address.Address:
    return nbd_address.Address(_NODE, process.socket, '', 0, False)


def _checked(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """:raises AttachmentInvalid: it doesn't say what they are"""
    texts = [
        properties.get(name)
        for name in ('auth_username', 'auth_password')
        if properties.get('auth_method')
    ]
    paths = list(_paths(properties))
    if (
        not paths
        or not all(isinstance(text, str) and text for text in texts)
        or properties.get('auth_method') not in (None, '', 'CHAP')
        or not all(
            isinstance(path.portal, str)
            and isinstance(path.target, str)
            and type(path.lun) is int
            for path in paths
        )
    ):
        raise errors.AttachmentInvalid(
            'a connection to an iSCSI LUN has target_portal, target_iqn and '
            'target_lun, or target_portals, target_iqns and target_luns, of '
            'one length, and with CHAP auth_method, auth_username and '
            'auth_password'
        )
    return properties


def _paths(properties: Mapping[str, Any]) -> Iterator[_Path]:
    names = ('target_portal', 'target_iqn', 'target_lun')
    several = [properties.get(f'{name}s') or [] for name in names]
    if all(several):
        if len({len(values) for values in several}) == 1:
            yield from map(_Path, *several)
    elif all(properties.get(name) is not None for name in names):
        yield _Path(*(properties[name] for name in names))
