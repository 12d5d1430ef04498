# SPDX-License-Identifier: Apache-2.0
"""A kind of production storage that can be registered."""

import fixtures

from ebackup_service.production import base
from ebackup_service.production import registry

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
