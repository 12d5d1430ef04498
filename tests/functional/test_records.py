# SPDX-License-Identifier: Apache-2.0
"""Records of backups, by which a Cinder that lost them gets them back."""

import base64
from collections.abc import Callable
import json
import os
from typing import Any
import uuid

import openstack
from openstack import connection
from openstack import exceptions as sdk_errors

from tests.functional import base
from tests.functional import cinder_database
from tests.functional import ebackup_case

MIB = base.MIB
KEPT = ('name', 'description', 'size', 'volume_id', 'container')


class RecordTestCase(ebackup_case.EBackupTestCase):
    """Has a backup, and its record; Cinder has forgotten it."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.create_volume()
        self.write(self.volume, 5 * MIB, os.urandom(8 * MIB))
        self.digest = self.sha256(self.volume)
        self.lost = self.backup(self.volume, description='of Monday')
        self.before = self.wait_for_backup(self.lost, 'available')
        self.record = self._export(self.lost)
        cinder_database.forget_backup(self.lab, self.lost)

    def _export(self, backup_id: str) -> dict[str, str]:
        storage = self.admin.block_storage
        answer = storage.get(f'/backups/{backup_id}/export_record')
        sdk_errors.raise_from_response(answer)
        return answer.json()['backup-record']

    def operator_of(self, project: str) -> connection.Connection:
        """Return the administrator's connection to a project.

        Cinder imports into the project that one is in, and only for admins.
        """
        identity = self.admin.identity
        grant = (
            identity.find_project(project, ignore_missing=False),
            identity.find_user('admin', ignore_missing=False),
            identity.find_role('admin', ignore_missing=False),
        )
        identity.assign_project_role_to_user(*grant)
        self.addCleanup(identity.unassign_project_role_from_user, *grant)
        account = {**self.lab.account('admin'), 'project_name': project}
        cloud = openstack.connect(
            load_yaml_config=False, load_envvars=False, **account
        )
        cloud.block_storage.default_microversion = '3.70'
        return cloud

    def start_import(
        self, record: dict[str, str], cloud: connection.Connection
    ) -> str:
        """Return the id of the backup that is being imported."""
        answer = cloud.block_storage.post(
            '/backups/import_record', json={'backup-record': record}
        )
        sdk_errors.raise_from_response(answer)
        imported = answer.json()['backup']['id']
        self.addCleanup(self._remove_backup, imported)
        return imported

    def tampered(self, change: Callable[[dict[str, Any]], None]) -> dict:
        """Return the record after somebody has changed what it says."""
        document = json.loads(base64.b64decode(self.record['backup_url']))
        change(document)
        url = base64.b64encode(json.dumps(document).encode()).decode()
        return {**self.record, 'backup_url': url}

    def is_refused(
        self, record: dict[str, str], cloud: connection.Connection, why: str
    ) -> None:
        """Check that nothing can be done with the import but deleting it."""
        imported = self.start_import(record, cloud)
        found = self.wait_for_backup(imported, 'error')
        self.assertRegex(found.fail_reason, f'^{why}')
        storage = cloud.block_storage
        answer = storage.post(f'/backups/{imported}/restore', json={})
        self.assertEqual(400, answer.status_code, answer.text)
        # Cinder ignores this, as the import named no driver.
        self.admin.block_storage.reset_backup_status(imported, 'available')
        self.wait_for_backup(imported, 'error')
        storage.delete_backup(imported, ignore_missing=False)
        self.wait_until_gone(storage.get_backup, imported)
        self.assertEqual('available', self.image(self.lost)['state'])

    def comes_back(self) -> None:
        """Import the record as it was, and restore."""
        imported = self.start_import(self.record, self.operator_of('demo'))
        self.assertEqual(self.lost, imported)
        self.wait_for_backup(imported, 'available')
        self.assertEqual(self.digest, self.sha256(self.restore(imported)))

    def test_backup_that_cinder_lost_comes_back(self):
        self.assertRaises(
            sdk_errors.NotFoundException,
            self.admin.block_storage.get_backup,
            self.lost,
        )
        self.assertEqual('available', self.image(self.lost)['state'])
        self.comes_back()
        after = self.demo.block_storage.get_backup(self.lost)
        for name in KEPT:
            self.assertEqual(self.before[name], after[name], name)
        # It is a backup like any other.
        self.write(self.volume, 0, os.urandom(MIB))
        following = self.image(self.backup(self.volume))
        self.assertEqual('incremental', following['kind'])
        self.delete_backup(self.lost)
        answer = self.service().get(f'/v1/images/{self.lost}')
        self.assertEqual(404, answer.status_code)

    def test_record_in_another_project_is_refused(self):
        self.is_refused(
            self.record,
            self.operator_of('other'),
            f'The project has no image {self.lost}',
        )
        self.comes_back()

    def test_deleting_what_another_project_imported_keeps_the_image(self):
        self.comes_back()
        cinder_database.execute(
            self.lab,
            "UPDATE backups SET deleted = 1, status = 'deleted'"
            ' WHERE id = :id',
            id=self.lost,
        )
        # Cinder revives what it had, with the name of the driver. So, other
        # than with a record that is new to it, it will ask that to delete.
        self.start_import(self.record, self.operator_of('other'))
        self.wait_for_backup(self.lost, 'error')
        self._remove_backup(self.lost)
        self.assertEqual('available', self.image(self.lost)['state'])

    def test_tampered_record_is_refused(self):
        operator = self.operator_of('demo')
        unknown = str(uuid.uuid4())

        def another_image(document):
            document['driver_info']['image_id'] = unknown

        def another_id(document):
            document['id'] = unknown

        def both(document):
            another_id(document)
            another_image(document)

        def another_volume(document):
            document['driver_info']['volume_id'] = unknown

        def smaller(document):
            document['driver_info']['size'] //= 2

        def without_driver_info(document):
            del document['driver_info']

        strange = 'Record is not that of backup'
        for change, why in (
            (another_image, strange),
            (another_id, strange),
            (without_driver_info, strange),
            (both, 'The project has no image'),
            (another_volume, 'The project has no image'),
            (smaller, 'The project has no image'),
        ):
            self.is_refused(self.tampered(change), operator, why)
        self.comes_back()

    def test_record_of_a_service_that_is_gone_is_as_good(self):
        def another_service(document):
            document['driver_info']['service'] = str(uuid.uuid4())

        self.record = self.tampered(another_service)
        self.comes_back()

    def test_backup_that_cinder_has_is_not_imported(self):
        operator = self.operator_of('demo')
        self.start_import(self.record, operator)
        self.wait_for_backup(self.lost, 'available')
        self.assertRaises(
            sdk_errors.BadRequestException,
            self.start_import,
            self.record,
            operator,
        )
