# SPDX-License-Identifier: Apache-2.0
"""A kind of production storage that can be registered."""

import uuid

import fixtures

from ebackup_service.production import base
from ebackup_service.production import registry
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows

KIND = 'played'
BACKEND = 'node@one'
HOST = f'{BACKEND}#pool'
SECRET = 'AQ-very-secret=='


class PlayedStorage:
    """Only what is looked at to register one."""

    capabilities = base.Capabilities(anchors=True)
    SETTINGS = {
        'type': 'object',
        'properties': {
            'pool': {'type': 'string'},
            'depth': {'type': 'integer', 'minimum': 1},
        },
        'required': ['pool'],
        'additionalProperties': False,
    }
    PLACE = frozenset(('pool',))
    REACHED_BY = frozenset()
    MEMORY = 0
    CREDENTIALS = {
        'type': 'object',
        'properties': {'key': {'type': 'string', 'minLength': 4}},
        'required': ['key'],
        'additionalProperties': False,
    }


class PlayedKind(fixtures.Fixture):
    """``played`` is installed beside what really is."""

    def _setUp(self):
        self._known = registry.storage_class
        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.production.registry.storage_class',
                self._storage_class,
            )
        )

    def _storage_class(self, kind):
        return PlayedStorage if kind == KIND else self._known(kind)


def values(**changes):
    """What it takes to register one, but for its name and kind."""
    return {
        'backends': [BACKEND],
        'settings': {'pool': 'volumes'},
        'credentials': {'key': SECRET},
        **changes,
    }


def leave_anchor(catalog, storage, image_id, name='backup.i.snap.1'):
    """Let an image have left a snapshot on the storage of that name."""
    with catalog.writer() as session:
        image = image_rows.get(session, image_id)
        snapshot_rows.insert(
            session,
            id=str(uuid.uuid4()),
            state=snapshot_rows.ANCHOR,
            storage_id=storage_rows.named(session, storage).id,
            repository_id=image.repository_id,
            chain_id=image.chain_id,
            image_id=image.id,
            job_id=str(uuid.uuid4()),
            volume={'id': image.volume_id, 'name': 'volume-1'},
            lun='lun',
            name=name,
            snapshot_id='7',
        )
