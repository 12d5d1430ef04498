# SPDX-License-Identifier: Apache-2.0
"""Cinder's own database and objects for the tests of the driver.

One sqlite file a process, made by Cinder's migrations; every test makes rows
of its own in it.
"""

import atexit
import functools
import logging
import os
import shutil
import tempfile
import uuid

from cinder.common import config  # noqa: F401 registers Cinder's options
from cinder import context
from cinder.db import api as db
from cinder.db import migration
from cinder import objects
from oslo_config import cfg

CONF = cfg.CONF
PROJECT = uuid.uuid4().hex
OTHER_PROJECT = uuid.uuid4().hex
USER = uuid.uuid4().hex

# Made when this is imported, because a test's temporary files end with it.
_DIRECTORY = tempfile.mkdtemp(prefix='ebackup-driver-tests-')
atexit.register(shutil.rmtree, _DIRECTORY, ignore_errors=True)


@functools.cache
def prepare():
    """Make the database, once; safe to call from every test."""
    logging.getLogger('alembic').setLevel(logging.WARNING)
    path = os.path.join(_DIRECTORY, 'cinder.sqlite')
    CONF([], project='cinder', default_config_files=[])
    CONF.set_default('connection', f'sqlite:///{path}', 'database')
    # What Cinder forgets at a power cut does not matter here.
    CONF.set_default('sqlite_synchronous', False, 'database')
    CONF.set_default('state_path', _DIRECTORY)
    CONF.import_opt(
        'lock_path', 'oslo_concurrency.lockutils', group='oslo_concurrency'
    )
    CONF.set_default('lock_path', _DIRECTORY, 'oslo_concurrency')
    objects.register_all()
    migration.db_sync()


def user_context(project_id=PROJECT):
    return context.RequestContext(
        user_id=USER, project_id=project_id, is_admin=False
    )


def admin_context():
    return context.get_admin_context()


def volume(size=1, **values):
    """Return a volume of size GiB as the API would have left it."""
    type_name = CONF.default_volume_type
    volume_type = db.volume_type_get_by_name(admin_context(), type_name)
    values = {
        'id': str(uuid.uuid4()),
        'size': size,
        'user_id': USER,
        'project_id': PROJECT,
        'status': 'backing-up',
        'previous_status': 'available',
        'attach_status': 'detached',
        'host': 'lab@file#file',
        'availability_zone': 'nova',
        'display_name': 'data',
        'provider_location': '127.0.0.1:/exports',
        'volume_type_id': volume_type['id'],
        **values,
    }
    db.volume_create(admin_context(), values)
    return objects.Volume.get_by_id(admin_context(), values['id'])


def snapshot(of, volume_size=None, **values):
    values = {
        'id': str(uuid.uuid4()),
        'volume_id': of.id,
        'volume_size': volume_size or of.size,
        'volume_type_id': of.volume_type_id,
        'user_id': USER,
        'project_id': PROJECT,
        'status': 'backing-up',
        **values,
    }
    db.snapshot_create(admin_context(), values)
    return objects.Snapshot.get_by_id(admin_context(), values['id'])


def backup(of, **values):
    """Return a backup of a volume, with the context that its user had."""
    values = {
        'user_id': USER,
        'project_id': PROJECT,
        'volume_id': of.id,
        'status': 'creating',
        'size': of.size,
        'display_name': 'nightly',
        'host': 'lab',
        'availability_zone': 'nova',
        'service': 'ebackup_driver.driver.EBackupDriver',
        'metadata': {'purpose': 'test'},
        **values,
    }
    context_of_user = user_context(values['project_id'])
    made = objects.Backup(context=context_of_user, **values)
    made.create()
    return made


def set_status(backup_id, status):
    """Change a backup's record behind the driver's back."""
    db.backup_update(admin_context(), backup_id, {'status': status})


def stored(backup_id):
    """Return the backup's row as it is now, deleted or not."""
    ctxt = context.get_admin_context(read_deleted='yes')
    return objects.Backup.get_by_id(ctxt, backup_id)
