# SPDX-License-Identifier: Apache-2.0
"""Which iSCSI initiator reaches LUNs that Cinder exports: whose, and its name.

The kernel's, with os-brick and open-iscsi, or, where there is none, QEMU's.
"""

import os
import pathlib
import platform
import re
import sys
from typing import Any
from typing import TYPE_CHECKING

from oslo_utils import netutils

if TYPE_CHECKING:
    from oslo_config import cfg

QEMU = 'qemu'
AUTO = 'auto'

# There once the module is loaded.
_CLASS = '/sys/class/iscsi_transport'
_MODULES = '/lib/modules'
_MODULE = re.compile(r'/iscsi_tcp\.ko', re.MULTILINE)


def is_qemu(conf: 'cfg.ConfigOpts') -> bool:
    """Whether it is QEMU's."""
    wanted = conf.proxy.iscsi_initiator
    return bool(wanted == QEMU or (wanted == AUTO and not _in_kernel()))


def name(conf: 'cfg.ConfigOpts') -> str:
    """By which storages know QEMU's; that of the kernel has another one."""
    host = re.sub('[^a-z0-9.-]', '-', conf.proxy.host.lower())
    return f'iqn.2026-11.org.openstack.ebackup:{host}'


def properties(conf: 'cfg.ConfigOpts') -> dict[str, Any]:
    """By which Cinder knows a host that has QEMU's initiator, and no other.

    Of os-brick's properties those that say something of iSCSI.
    """
    return {
        'host': conf.proxy.host,
        'initiator': name(conf),
        'ip': netutils.get_my_ipv4(),
        'multipath': False,
        'os_type': sys.platform,
        'platform': platform.machine(),
    }


def _in_kernel() -> bool:
    if os.path.isdir(_CLASS):
        return True
    modules = pathlib.Path(_MODULES, os.uname().release)
    for listing in ('modules.dep', 'modules.builtin'):
        try:
            if _MODULE.search((modules / listing).read_text()):
                return True
        except OSError:
            continue
    return False
