# SPDX-License-Identifier: Apache-2.0
import uuid

from ebackup_service.repository import ids
from tests.unit.ebackup_service.repository import base


class OpenRepositoryTestCase(base.RepositoryTestCase):
    def test_identity(self):
        self.assertEqual(self.repo.config.id, self.repo.id)
        self.assertEqual(uuid.UUID(self.repo.id).bytes, self.repo.uuid_bytes)
        self.assertIs(self.storage, self.repo.storage)

    def test_ids_are_made_by_the_key_of_the_repository(self):
        key = self.repo.config.key

        self.assertEqual(
            ids.chunk_hasher(key)(b'plain'), self.repo.chunk_id(b'plain')
        )
        self.assertEqual(
            self.repo.chunk_id(b'plain'), self.repo.hasher()(b'plain')
        )
        self.assertEqual(
            ids.page_hasher(key)(b'plain'), self.repo.page_hasher()(b'plain')
        )
