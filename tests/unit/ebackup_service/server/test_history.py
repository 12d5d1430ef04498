# SPDX-License-Identifier: Apache-2.0
import fixtures
import sqlalchemy as sa

from ebackup_service.server.catalog import connection as connection_rows
from ebackup_service.server.catalog import models
from ebackup_service.server import connections
from ebackup_service.server import errors
from ebackup_service.server import history
from ebackup_service.server import images
from ebackup_service.server import jobs
from tests import base
from tests.unit.ebackup_service import catalog_fixture

DAY = 24 * 3600 * 1000


class TestForget(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.fixture.make_repository()

    def ended(self, days):
        """An image whose job ended so many days ago, and took one."""
        image = self.fixture.make_image()
        self.update(
            image.job_id,
            created_at=models.Job.created_at - (days + 1) * DAY,
            finished_at=models.Job.finished_at - days * DAY,
        )
        return image

    def update(self, job_id, **values):
        with self.fixture.catalog.writer() as session:
            session.execute(
                sa.update(models.Job)
                .where(models.Job.id == job_id)
                .values(**values)
            )

    def forget(self, days=90):
        self.fixture.conf.set_override('job_retention_days', days, 'server')
        history.forget(self.fixture.catalog, self.fixture.conf)

    def known(self):
        return {job.id for job in jobs.list(self.fixture.catalog)[0]}

    def test_only_what_ended_long_ago(self):
        old, new = self.ended(91), self.ended(89.5)
        self.forget()
        self.assertEqual({new.job_id}, self.known())
        self.assertRaises(
            errors.NotFound, jobs.show, self.fixture.catalog, old.job_id
        )

    def test_never(self):
        old = self.ended(10000)
        self.forget(days=0)
        self.assertEqual({old.job_id}, self.known())

    def test_what_is_still_exported_stays_known(self):
        old = self.ended(91)
        export = connection_rows.Connection(
            job_id=old.job_id,
            volume_id=old.volume_id,
            exported_type='volume',
            exported_id=old.volume_id,
            proxy='here',
            connector={},
        )
        with self.fixture.catalog.writer() as session:
            connection_rows.insert(session, export)
        self.forget()
        self.assertEqual({old.job_id}, self.known())
        connections.forget(self.fixture.catalog, old.job_id)
        self.forget()
        self.assertEqual(set(), self.known())

    def test_unfinished_jobs_stay_however_old(self):
        _, job = self.fixture.reserve()
        self.update(job.id, created_at=0)
        self.forget(days=1)
        self.assertEqual({job.id}, self.known())

    def test_image_outlives_its_job(self):
        image = self.ended(2)
        self.forget(days=1)
        self.assertEqual('available', self.fixture.image(image.id).state)
        again = self.fixture.reserve(
            image.id, image.size, volume_id=image.volume_id
        )
        self.assertEqual((image.id, None), (again[0].id, again[1]))
        path = {'kind': 'attached', 'host': 'here', 'path': '/v'}
        self.assertRaises(
            errors.NotFound,
            jobs.attach,
            self.fixture.catalog,
            image.job_id,
            path,
        )
        deletion = images.delete(self.fixture.catalog, image.id)
        self.fixture.finish(self.fixture.run(deletion.id))
        self.assertEqual('deleted', self.fixture.image(image.id).state)

    def test_some_at_a_time(self):
        self.useFixture(fixtures.MockPatchObject(history, '_BATCH', 2))
        for days in (5, 4, 3):
            self.ended(days)
        self.forget(days=1)
        self.assertEqual(1, len(self.known()))
        self.forget(days=1)
        self.assertEqual(set(), self.known())
