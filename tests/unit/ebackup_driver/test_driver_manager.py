# SPDX-License-Identifier: Apache-2.0
"""The driver under Cinder's own BackupManager.

Attaching is the one thing that is not done: the manager is given the path of
a file instead.
"""

import contextlib
import json

from cinder import context
from cinder.db import api as db
from cinder import exception
from cinder import objects
import fixtures
from oslo_utils import units

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_manager
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import played_service

PATH = 'ebackup_driver.driver.EBackupDriver'


class ManagerTestCase(base.DriverTestCase):
    def setUp(self):
        super().setUp()
        self.config.config(backup_driver=PATH)
        fixture = cinder_manager.CinderManager(self.path)
        self.cinder = self.useFixture(fixture)
        self.manager = self.cinder.manager
        self.volume = cinder_records.volume()
        self.context = context.RequestContext(
            user_id=cinder_records.USER,
            project_id=cinder_records.PROJECT,
            is_admin=True,
        )

    def create(self, **values):
        backup = cinder_records.backup(self.volume, **values)
        db.volume_update(
            self.context, self.volume.id, {'status': 'backing-up'}
        )
        with contextlib.suppress(exception.BackupDriverException):
            self.manager.create_backup(self.context, backup)
        return cinder_records.stored(backup.id)

    def delete(self, backup):
        backup.status = 'deleting'
        backup.save()
        self.manager.delete_backup(self.context, backup)
        return cinder_records.stored(backup.id)

    def volume_status(self, volume=None):
        return db.volume_get(self.context, (volume or self.volume).id).status


class TestCreate(ManagerTestCase):
    def test_leaves_an_available_backup(self):
        backup = self.create()
        self.assertEqual('available', backup.status)
        self.assertEqual('available', self.volume_status())
        self.assertEqual(1, json.loads(backup.service_metadata)['gen'])

    def test_leaves_a_backup_without_a_parent(self):
        first = self.create()
        second = self.create(parent_id=first.id)
        self.assertFalse(second.is_incremental)
        self.assertFalse(cinder_records.stored(first.id).has_dependent_backups)

    def test_that_fails_says_why_and_gives_the_volume_back(self):
        self.service.failure = ('disk', 'Input/output error at byte 0.')
        backup = self.create()
        self.assertEqual('error', backup.status)
        self.assertEqual('Input/output error at byte 0.', backup.fail_reason)
        self.assertEqual('available', self.volume_status())

    def test_without_a_service_fails_likewise(self):
        self.configure(service_timeout=1.0)
        self.server.stop()
        backup = self.create()
        self.assertEqual('error', backup.status)
        self.assertRegex(backup.fail_reason, '^Connection refused')
        self.assertLess(len(backup.fail_reason), 255)
        self.assertEqual('available', self.volume_status())

    def test_may_be_ended_by_a_forced_delete(self):
        self.service.beats_needed = None

        def force_delete():
            (image_id,) = self.service.images
            self.service.beats_needed = 1
            self.delete(cinder_records.stored(image_id))

        self.at('POST', base.BEAT, force_delete, 2)
        backup = self.create()
        self.assertEqual('deleted', backup.status)
        self.assertEqual('available', self.volume_status())
        self.assertEqual({}, self.service.images)

    def test_may_be_ended_by_a_reset_of_its_state(self):
        self.service.beats_needed = None

        def reset():
            (image_id,) = self.service.images
            self.manager.reset_status(
                self.context, cinder_records.stored(image_id), 'error'
            )

        self.at('POST', base.BEAT, reset, 2)
        backup = self.create()
        self.assertEqual('error', backup.status)
        self.assertEqual('available', self.volume_status())
        self.assertEqual(['cancelled'], self.job_states())


class TestSize(ManagerTestCase):
    """An image is as large as what Cinder attached for it."""

    def setUp(self):
        super().setUp()
        self.volume = cinder_records.volume(size=2)

    def use(self):
        db.volume_update(
            self.context, self.volume.id, {'previous_status': 'in-use'}
        )

    def extend(self, size):
        db.volume_update(self.context, self.volume.id, {'size': size})

    def sizes(self, temp_snapshots, **values):
        """Return those of the image and of Cinder's backup, in GiB."""
        self.config.config(
            group=cinder_manager.BackEnd.GROUP,
            backup_use_temp_snapshot=temp_snapshots,
        )
        backup = self.create(**values)
        self.assertEqual('available', backup.status)
        image = self.service.images[backup.id]
        return image['size'] / units.Gi, backup.size

    def test_is_that_of_the_volume(self):
        for temp_snapshots in (True, False):
            self.assertEqual((2, 2), self.sizes(temp_snapshots))

    def test_is_that_of_a_copy_of_a_volume_in_use(self):
        for temp_snapshots in (True, False):
            self.use()
            self.assertEqual((2, 2), self.sizes(temp_snapshots))

    def test_is_that_of_a_snapshot(self):
        snapshot = cinder_records.snapshot(self.volume)
        self.extend(3)
        self.assertEqual((2, 3), self.sizes(True, snapshot_id=snapshot.id))

    def test_is_that_of_a_snapshots_clone(self):
        # Cinder makes it as large as the volume has become.
        snapshot = cinder_records.snapshot(self.volume)
        self.extend(3)
        self.assertEqual((3, 3), self.sizes(False, snapshot_id=snapshot.id))

    def test_does_not_change_while_the_clone_is_made(self):
        # A volume whose snapshot is backed up may be extended at any time.
        snapshot = cinder_records.snapshot(self.volume)
        self.extend(3)
        self.useFixture(
            fixtures.MockPatchObject(
                self.cinder.back_end,
                'create_volume_from_snapshot',
                lambda *args: self.extend(4),
            )
        )
        self.assertEqual((3, 4), self.sizes(False, snapshot_id=snapshot.id))


class TestDelete(ManagerTestCase):
    def test_in_any_order(self):
        backups = [self.create() for _ in range(3)]
        for backup in (backups[1], backups[0], backups[2]):
            self.assertEqual('deleted', self.delete(backup).status)
        self.assertEqual({}, self.service.images)

    def test_of_a_failed_backup(self):
        self.service.failure = ('disk', 'Input/output error.')
        backup = self.create()
        self.service.failure = None
        self.assertEqual('deleted', self.delete(backup).status)

    def test_that_fails_leaves_an_error(self):
        backup = self.create()
        self.service.failure = ('read-only', 'Read-only file system.')
        self.assertRaises(exception.BackupDriverException, self.delete, backup)
        backup = cinder_records.stored(backup.id)
        self.assertEqual('error', backup.status)
        self.assertEqual('Read-only file system.', backup.fail_reason)

    def test_without_a_service_leaves_an_error(self):
        backup = self.create()
        self.configure(service_timeout=1.0)
        self.server.stop()
        self.assertRaises(exception.BackupDriverException, self.delete, backup)
        backup = cinder_records.stored(backup.id)
        self.assertEqual('error', backup.status)
        self.assertRegex(backup.fail_reason, '^Connection refused')


class TestRestore(ManagerTestCase):
    def setUp(self):
        super().setUp()
        self.backup = self.create()
        self.backup.status = 'restoring'
        self.backup.save()
        self.target = cinder_records.volume(status='restoring-backup')

    def restore(self, is_new=True):
        self.manager.restore_backup(
            self.context, self.backup, self.target.id, is_new
        )

    def states(self):
        backup = cinder_records.stored(self.backup.id)
        return backup.status, self.volume_status(self.target)

    def test_leaves_an_available_volume(self):
        self.restore()
        self.assertEqual(('available', 'available'), self.states())
        self.assertEqual([True], self.asked())

    def test_in_place_leaves_an_available_volume(self):
        """A plain file holds nothing any more: Cinder has truncated it."""
        self.restore(is_new=False)
        self.assertEqual(('available', 'available'), self.states())
        self.assertEqual([True], self.asked())

    def asked(self):
        """Return whether each restore was said to be to an empty volume."""
        return [
            request.body['restore']['volume_is_new']
            for request in self.service.said('PUT', '/v1/restores/[^/]+')
        ]

    def test_without_a_service_leaves_an_error_on_the_volume(self):
        self.configure(service_timeout=1.0)
        self.server.stop()
        self.assertRaises(exception.BackupDriverException, self.restore)
        self.assertEqual(('available', 'error_restoring'), self.states())

    def test_that_fails_leaves_an_error_on_the_volume(self):
        self.service.failure = ('path-busy', 'Device is mounted.')
        self.assertRaises(exception.BackupDriverException, self.restore)
        self.assertEqual(('available', 'error_restoring'), self.states())

    def test_that_is_cancelled_is_no_failure(self):
        self.service.beats_needed = None
        self.at(
            'POST',
            base.BEAT,
            lambda: cinder_records.set_status(self.backup.id, 'error'),
            2,
        )
        self.restore()
        self.assertEqual(('available', 'error'), self.states())


class TestRecords(ManagerTestCase):
    def test_an_exported_backup_can_be_imported(self):
        backup = self.create()
        exported = self.manager.export_record(self.context, backup)
        backup.destroy()
        imported = self.import_as(cinder_records.PROJECT, backup.id, exported)
        self.assertEqual('available', imported.status)
        self.assertEqual(self.volume.id, imported.volume_id)

    def test_another_project_cannot_import_it(self):
        backup = self.create()
        exported = self.manager.export_record(self.context, backup)
        backup.destroy()
        self.assertRaises(
            exception.InvalidBackup,
            self.import_as,
            cinder_records.OTHER_PROJECT,
            backup.id,
            exported,
        )
        self.assertEqual('error', cinder_records.stored(backup.id).status)

    def import_as(self, project_id, backup_id, exported):
        ctxt = context.get_admin_context(read_deleted='yes')
        backup = objects.BackupImport.get_by_id(ctxt, backup_id)
        backup.update(
            {
                'project_id': project_id,
                'status': 'creating',
                'deleted': False,
                'deleted_at': None,
            }
        )
        backup.save()
        self.manager.import_record(
            self.context,
            backup,
            exported['backup_service'],
            exported['backup_url'],
            [],
        )
        return cinder_records.stored(backup_id)


class TestStart(ManagerTestCase):
    def test_the_manager_gets_ready(self):
        self.manager.is_initialized = False
        self.assertRaises(
            cinder_manager.LoopingCallDone,
            self.manager._setup_backup_driver,
            self.context,
        )
        self.assertTrue(self.manager.is_working())

    def test_the_manager_knows_that_deletion_may_be_forced(self):
        self.assertTrue(
            self.manager.check_support_to_force_delete(self.context)
        )

    def test_an_outage_does_not_keep_it_from_starting(self):
        def hook(request):
            raise played_service.Refusal(503, 'away')

        self.service.hooks.append(hook)
        self.test_the_manager_gets_ready()
