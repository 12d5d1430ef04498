# SPDX-License-Identifier: Apache-2.0

import uuid

from ebackup_service.server.catalog import service
from tests.unit.ebackup_service.server.catalog import base


class TestService(base.SqliteTestCase):
    def lock(self):
        with self.catalog.writer() as session:
            return service.lock(session)

    def test_new_catalog_has_an_identity(self):
        found = self.lock()
        self.assertEqual(found.uuid, str(uuid.UUID(found.uuid)))

    def test_first_identity_counts(self):
        before = self.lock()
        with self.catalog.writer() as session:
            service.create(session)
        self.assertEqual(before, self.lock())
