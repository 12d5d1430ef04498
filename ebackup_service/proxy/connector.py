# SPDX-License-Identifier: Apache-2.0
"""What a proxy does, before it says that Cinder can export volumes to it."""

from typing import Any

from oslo_config import cfg
from oslo_log import log

from ebackup_service.production import brick
from ebackup_service.production import errors
from ebackup_service.production import initiator
from ebackup_service.production import iscsi
from ebackup_service.production import records

LOG = log.getLogger(__name__)


def is_wanted(conf: cfg.ConfigOpts) -> bool:
    """Whether it is configured that this proxy has such volumes."""
    return bool(
        conf.proxy.privsep_helper
        or conf.proxy.iscsi_initiator != initiator.AUTO
    )


def ready(conf: cfg.ConfigOpts) -> dict[str, Any] | None:
    """Detach what an earlier process has left; this host's properties.

    None if it has not what it takes; the log says why. It may take long: what
    was attached may hang.
    """
    try:
        if not conf.proxy.privsep_helper and initiator.is_qemu(conf):
            iscsi.check_installed()
            return initiator.properties(conf)
        library = brick.load(conf)
        library.clean(records.of(conf))
        properties = library.properties()
        if initiator.is_qemu(conf):
            properties['initiator'] = initiator.name(conf)
        return properties
    except (errors.NotInstalled, OSError) as error:
        LOG.warning(
            'No volumes on storages of kind connector: %s. All others are '
            'served.',
            error,
        )
        return None
