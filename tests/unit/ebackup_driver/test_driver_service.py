# SPDX-License-Identifier: Apache-2.0
"""The driver against the real service: real bytes, there and back."""

import os

from cinder.db import api as db
from cinder import exception
from cinder import utils
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_config import fixture as config_fixture
from oslo_utils import units

from ebackup_driver import driver
from ebackup_driver import session
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import real_service
from tests.unit.ebackup_driver import test_client_service

CONF = cfg.CONF
ADMIN = cinder_records.admin_context


class TestDriver(test_client_service.RealServiceTestCase):
    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        config = self.useFixture(config_fixture.Config(CONF))
        CONF.register_opts(
            loading.get_auth_plugin_conf_options('http_basic'),
            group='ebackup',
        )
        config.config(
            group='ebackup',
            auth_type='http_basic',
            endpoint_override=self.service.url,
            username=real_service.SERVICE,
            password=real_service.SERVICE,
            host=real_service.HOST,
            poll_interval=0.2,
        )
        session.forget()
        self.addCleanup(session.forget)
        self.volume = cinder_records.volume(size=1)
        db.volume_metadata_update(
            ADMIN(), self.volume.id, {'tier': 'gold'}, False
        )
        self.content = os.urandom(300_000)
        self.path = self.service.sparse_volume(
            self.volume.id, units.Gi, [(64 << 20, self.content)]
        )

    def driver(self):
        return driver.EBackupDriver(cinder_records.user_context())

    def back_up(self, **values):
        backup = cinder_records.backup(self.volume, **values)
        with self.path.open('rb') as stream:
            updates = self.driver().backup(backup, utils.tpool_wrap(stream))
        backup.update({**updates, 'status': 'available'})
        backup.save()
        return backup

    def restore(self, backup, is_new):
        target = cinder_records.volume(
            size=2, status='restoring-backup', display_name=None
        )
        path = self.service.volumes / target.id
        cinder_records.set_status(backup.id, 'restoring')
        backup.refresh()
        # As Cinder opens it: a plain file is emptied by that.
        with path.open('wb') as stream:
            self.driver().restore(
                backup, target.id, utils.tpool_wrap(stream), is_new
            )
        return target, path

    def test_back_up_twice_restore_and_delete(self):
        first = self.back_up()
        with self.path.open('r+b') as stream:
            stream.seek(64 << 20)
            stream.write(b'changed')
        second = self.back_up(parent_id=first.id)
        self.assertIn('"kind":"incremental"', second.service_metadata)
        self.driver().delete_backup(first)
        for is_new in (True, False):
            target, path = self.restore(second, is_new)
            self.assertEqual(2 * units.Gi, path.stat().st_size)
            with path.open('rb') as stream:
                stream.seek(64 << 20)
                restored = stream.read(300_000)
            self.assertEqual(b'changed' + self.content[7:], restored)
            self.assertEqual(
                {'tier': 'gold'}, db.volume_metadata_get(ADMIN(), target.id)
            )
        self.driver().delete_backup(second)
        self.driver().delete_backup(second)

    def test_export_and_import(self):
        backup = self.back_up()
        exported = self.driver().export_record(backup)
        self.driver().import_record(backup, exported)
        backup.project_id = cinder_records.OTHER_PROJECT
        self.assertRaises(
            exception.BackupDriverException,
            self.driver().import_record,
            backup,
            exported,
        )

    def test_a_volume_of_another_size_is_refused(self):
        os.truncate(self.path, units.Gi - 512)
        error = self.assertRaises(
            exception.BackupDriverException, self.back_up
        )
        self.assertIn(str(units.Gi), str(error))
