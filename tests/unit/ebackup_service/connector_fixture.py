# SPDX-License-Identifier: Apache-2.0
"""A back end whose volumes Cinder exports to proxies."""

from ebackup_service.server import storages
from tests.unit.ebackup_service import catalog_fixture

BACKEND = 'node@one'
HOST = f'{BACKEND}#pool'
CONNECTOR = {'initiator': 'iqn.1994-05.org:here', 'host': 'here'}
SECRET = 's3cret-of-chap'
CONNECTION = {
    'driver_volume_type': 'iscsi',
    'data': {'target_iqn': 'iqn.2', 'auth_password': SECRET},
}


def register(fixture, **settings):
    return storages.create(
        fixture.catalog,
        fixture.conf,
        'any',
        'connector',
        backends=[BACKEND],
        settings=settings,
    )


def volume(kind='volume', exported=None, **values):
    """What a driver says of a volume on the back end."""
    return {
        'host': HOST,
        'backend_name': 'volume-1',
        'exported': {
            'type': kind,
            'id': exported or catalog_fixture.new_id(),
        },
        **values,
    }


def announce(fixture, host='here', **capabilities):
    fixture.announce(
        host,
        production=['attached', 'connector'],
        connector={**CONNECTOR, 'host': host},
        **capabilities,
    )
