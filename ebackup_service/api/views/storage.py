# SPDX-License-Identifier: Apache-2.0
"""Production storages; nobody is shown their credentials."""

from typing import Any

from ebackup_service.api.views import instant
from ebackup_service.server.catalog import storage as storage_rows


def show(storage: storage_rows.Storage) -> dict[str, Any]:
    return {
        'id': storage.id,
        'name': storage.name,
        'kind': storage.kind,
        'backends': storage.backends,
        'settings': storage.settings,
        'has_credentials': storage.credentials is not None,
        'trust': storage.trust,
        'anchors': storage.anchors,
        'configured': storage.configured,
        'refused_since': instant.text(storage.refused_since),
        'login_after': instant.text(storage.login_after),
        'created_at': instant.text(storage.created_at),
        'updated_at': instant.text(storage.updated_at),
    }
