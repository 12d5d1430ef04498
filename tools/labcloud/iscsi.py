# SPDX-License-Identifier: Apache-2.0
"""Files as LUNs, of a tgtd that somebody else has started."""

import os
import pathlib
import re

from oslo_concurrency import lockutils
from oslo_concurrency import processutils
from oslo_config import cfg

OPTIONS = [
    cfg.StrOpt(
        'lab_iscsi_portal',
        help='Address and port of the tgtd by which proxies of eBackup get '
        'volumes. Without it they get what Cinder itself does.',
    ),
    cfg.StrOpt(
        'lab_iscsi_control', help='As TGT_IPC_SOCKET: where it is told what.'
    ),
    cfg.StrOpt('lab_iscsi_user', help='Of CHAP; the tgtd knows it.'),
    cfg.StrOpt('lab_iscsi_password', secret=True, help='Of CHAP.'),
]
# ebackup_service/production/initiator.py
_INITIATORS = 'iqn.2026-11.org.openstack.ebackup:'
_TARGETS = 'iqn.2026-11.example.lab:'
_LUN = 1
_THIN = 'thin_provisioning=1'


class Target:
    """Of each volume there is at most one, for one initiator."""

    def __init__(self, configuration):
        self._configuration = configuration

    def serves(self, connector) -> bool:
        initiator = (connector or {}).get('initiator') or ''
        return bool(
            self._configuration.lab_iscsi_portal
            and initiator.startswith(_INITIATORS)
        )

    @lockutils.synchronized('lab-iscsi', external=True)
    def export(self, path: pathlib.Path, connector) -> dict:
        """Return the properties of the connection; the same ones each time."""
        known = self._known()
        name = _TARGETS + path.name
        if name not in known:
            number = str(max(map(int, known.values()), default=0) + 1)
            one = ('--tid', number)
            lun = ('--lun', str(_LUN))
            user = self._configuration.lab_iscsi_user
            for mode, operation, *more in (
                ('target', 'new', '--targetname', name),
                ('logicalunit', 'new', *lun, '--backing-store', str(path)),
                # It says what is allocated, as most storages do.
                ('logicalunit', 'update', *lun, '--params', _THIN),
                ('account', 'bind', '--user', user),
                ('target', 'bind', '--initiator-name', connector['initiator']),
            ):
                self._tell(mode, operation, *one, *more)
        return {
            'target_discovered': False,
            'target_portal': self._configuration.lab_iscsi_portal,
            'target_iqn': name,
            'target_lun': _LUN,
            'auth_method': 'CHAP',
            'auth_username': self._configuration.lab_iscsi_user,
            'auth_password': self._configuration.lab_iscsi_password,
        }

    @lockutils.synchronized('lab-iscsi', external=True)
    def end(self, path: pathlib.Path) -> None:
        """Whoever uses it: he may have been killed. It may be called twice."""
        if self._configuration.lab_iscsi_portal:
            number = self._known().get(_TARGETS + path.name)
            if number is not None:
                self._tell('target', 'delete', '--force', '--tid', number)

    def _known(self) -> dict[str, str]:
        """Return numbers of targets, by their names."""
        shown = self._tell('target', 'show')
        return {
            name: number
            for number, name in re.findall(
                r'^Target (\d+): (\S+)$', shown, re.MULTILINE
            )
        }

    def _tell(self, mode: str, operation: str, *more: str) -> str:
        control = self._configuration.lab_iscsi_control
        out, _error = processutils.execute(
            *('tgtadm', '--lld', 'iscsi', '--mode', mode, '--op', operation),
            *more,
            env_variables={**os.environ, 'TGT_IPC_SOCKET': control},
        )
        return out
