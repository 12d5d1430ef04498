# SPDX-License-Identifier: Apache-2.0

import sqlalchemy as sa

from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import service
from ebackup_service.server import deletions
from ebackup_service.server import images
from tests import base
from tests.unit.ebackup_service import catalog_fixture


class DeletionsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.image = self.fixture.make_image()

    def found(self):
        return self.fixture.image(self.image.id)


class TestBegin(DeletionsTestCase):
    def begin(self):
        with self.catalog.writer() as session:
            service.lock(session)
            return deletions.begin(session, self.found())

    def test_image_is_dead_from_now_on(self):
        job = self.begin()
        self.assertEqual('delete', job.kind)
        self.assertEqual('deleting', self.found().state)

    def test_running_restore_is_not_disturbed(self):
        restore = self.fixture.restore(self.image)
        spec = self.fixture.run(restore.id)
        self.begin()
        self.assertIsNone(self.fixture.job(restore.id).cancel_reason)
        self.assertTrue(self.fixture.finish(spec).accepted)

    def test_image_that_was_deleted_meanwhile_stays_deleted(self):
        read = self.found()
        job = images.delete(self.catalog, self.image.id)
        self.fixture.finish(self.fixture.run(job.id))
        with self.catalog.writer() as session:
            deletions.begin(session, read)
        self.assertEqual('deleted', self.found().state)


class TestResume(DeletionsTestCase):
    def fail(self):
        job = images.delete(self.catalog, self.image.id)
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        return job

    def age(self, seconds):
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Image).values(
                    updated_at=models.Image.updated_at - seconds * 1000
                )
            )

    def test_failed_deletion_is_tried_again_after_a_while(self):
        job = self.fail()
        deletions.resume(self.catalog)
        self.assertEqual(job.id, self.found().job_id)
        self.age(61)
        deletions.resume(self.catalog)
        self.assertNotEqual(job.id, self.found().job_id)
        again = self.fixture.job(self.found().job_id)
        self.assertEqual(('delete', 'pending'), (again.kind, again.state))

    def test_deletion_that_is_under_way_is_not_doubled(self):
        job = images.delete(self.catalog, self.image.id)
        self.age(61)
        deletions.resume(self.catalog)
        self.assertEqual(job.id, self.found().job_id)
