# SPDX-License-Identifier: Apache-2.0
import json
import uuid

from cinder.db import api as db

from ebackup_driver import encryption
from ebackup_driver import errors
from tests import base
from tests.unit.ebackup_driver import cinder_records

KEY = '5f1d2ac1-4c9d-4a6f-8a0b-0d6f5c0f3a10'
OTHER_KEY = 'c0b8b9a4-6b8e-4a52-9d0a-1be2d7a1f0c3'


def make_type(name):
    name = f'{name}-{uuid.uuid4().hex[:8]}'
    return db.volume_type_create(
        cinder_records.admin_context(), {'name': name}
    )


class TestCheckTarget(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        self.type = make_type('luks')
        self.other_type = make_type('fast')

    def check(self, key_id, type_id, **target):
        document = json.dumps(
            {
                'version': 2,
                'volume-base-metadata': {
                    'encryption_key_id': key_id,
                    'volume_type_id': type_id,
                },
            }
        )
        self.target = cinder_records.volume(**target)
        encryption.check_target(
            cinder_records.user_context(), document, self.target.id
        )

    def refused(self, *arguments, **target):
        error = self.assertRaises(
            errors.EncryptionMismatch, self.check, *arguments, **target
        )
        self.assertIn(self.target.id, str(error))
        self.assertLessEqual(len(str(error)), 250)
        return str(error)

    def test_same_type_is_good_whatever_the_key(self):
        for key_id in KEY, OTHER_KEY:
            self.check(
                KEY,
                self.type['id'],
                volume_type_id=self.type['id'],
                encryption_key_id=key_id,
            )

    def test_neither_is_encrypted(self):
        self.check(None, self.type['id'], volume_type_id=self.other_type['id'])

    def test_only_the_backup_is_encrypted(self):
        said = self.refused(
            KEY, self.type['id'], volume_type_id=self.other_type['id']
        )
        self.assertTrue(said.startswith('Backup is encrypted'), said)
        self.assertIn(self.other_type['name'], said)
        self.assertIn(self.type['name'], said)

    def test_both_are_encrypted_but_not_alike(self):
        self.refused(
            KEY,
            self.type['id'],
            volume_type_id=self.other_type['id'],
            encryption_key_id=OTHER_KEY,
        )

    def test_type_of_the_backup_was_deleted(self):
        gone = str(uuid.uuid4())
        said = self.refused(KEY, gone, volume_type_id=self.other_type['id'])
        self.assertIn(f'{gone}, which was deleted', said)

    def test_only_the_volume_is_encrypted(self):
        said = self.refused(
            None,
            self.other_type['id'],
            volume_type_id=self.type['id'],
            encryption_key_id=KEY,
        )
        self.assertTrue(said.startswith('Backup is not encrypted'), said)

    def test_nothing_is_known_of_the_backup(self):
        for document in None, '', '{"version": 2}':
            encryption.check_target(
                cinder_records.user_context(),
                document,
                cinder_records.volume().id,
            )
