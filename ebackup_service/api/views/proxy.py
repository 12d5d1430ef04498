# SPDX-License-Identifier: Apache-2.0
"""Backup proxies."""

from typing import Any

from ebackup_service.api.views import instant
from ebackup_service.server import proxies


def show(status: proxies.Status) -> dict[str, Any]:
    return {
        'host': status.proxy.host,
        'version': status.proxy.version,
        'alive': status.alive,
        'jobs': status.jobs,
        'capabilities': status.proxy.capabilities,
        'announced_at': instant.text(status.proxy.announced_at),
    }
