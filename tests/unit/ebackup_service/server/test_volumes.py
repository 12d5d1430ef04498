# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server import errors
from ebackup_service.server import jobs
from ebackup_service.server import volumes
from tests import base
from tests.unit.ebackup_service import catalog_fixture


class TestVolumes(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.fixture.make_repository()

    def check(self, function, volume_id):
        with self.fixture.catalog.writer() as session:
            function(session, self.fixture.conf, volume_id)

    def test_volume_without_jobs_is_free(self):
        self.check(volumes.check_unwritten, 'v')
        self.check(volumes.check_unused, 'v')

    def test_backups_may_meet_at_a_volume_but_no_restore(self):
        image, job = self.fixture.reserve()
        self.check(volumes.check_unwritten, image.volume_id)
        error = self.assertRaises(
            errors.Conflict,
            self.check,
            volumes.check_unused,
            image.volume_id,
        )
        self.assertEqual('volume-busy', error.kind)
        self.assertIn(job.id, str(error))

    def test_restore_has_its_volume_to_itself(self):
        job = self.fixture.restore(self.fixture.make_image())
        for check in (volumes.check_unwritten, volumes.check_unused):
            self.assertRaises(
                errors.Conflict, self.check, check, job.volume_id
            )

    def test_restore_that_waits_for_a_silent_driver_gives_way(self):
        for check in (volumes.check_unwritten, volumes.check_unused):
            job = self.fixture.restore(self.fixture.make_image())
            self.fixture.age(job.id, catalog_fixture.PATIENCE + 1)
            self.check(check, job.volume_id)
            self.assertEqual('failed', self.fixture.job(job.id).state)

    def test_backup_that_waits_for_a_silent_driver_does_not(self):
        image, job = self.fixture.reserve()
        self.fixture.age(job.id, catalog_fixture.PATIENCE + 1)
        self.assertRaises(
            errors.Conflict, self.check, volumes.check_unused, image.volume_id
        )
        self.assertEqual('pending', self.fixture.job(job.id).state)

    def test_ended_jobs_are_in_nobodys_way(self):
        job = self.fixture.restore(self.fixture.make_image())
        jobs.cancel(self.fixture.catalog, job.id)
        self.check(volumes.check_unused, job.volume_id)

    def test_deletion_of_an_image_does_not_keep_its_volume(self):
        image = self.fixture.make_image()
        catalog_fixture.images.delete(self.fixture.catalog, image.id)
        self.check(volumes.check_unused, image.volume_id)
