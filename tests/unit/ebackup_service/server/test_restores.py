# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import restores
from tests import base
from tests.unit.ebackup_service import catalog_fixture

CHUNK = catalog_fixture.CHUNK
GIB = 1024**3
new_id = catalog_fixture.new_id


class TestReserve(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.image = self.fixture.make_image(
            volume={'availability_zone': 'one'}
        )

    def request(self, **volume):
        return {
            'image_id': self.image.id,
            'project_id': catalog_fixture.PROJECT,
            'volume': {'id': new_id(), 'size': CHUNK, **volume},
            'volume_is_new': True,
        }

    def reserve(self, request, job_id=None):
        return restores.reserve(
            self.catalog, self.fixture.conf, job_id or new_id(), request
        )

    def refused(self, kind, code, *args):
        error = self.assertRaises(errors.ServerError, self.reserve, *args)
        self.assertEqual((kind, code), (error.kind, error.code))
        return error

    def test_job_waits_for_its_volume_and_pins_the_image(self):
        request = self.request()
        job = self.reserve(request)
        self.assertEqual(
            ('restore', 'pending', 'attachment'),
            (job.kind, job.state, job.needs),
        )
        self.assertEqual(request['volume']['id'], job.volume_id)
        self.assertEqual(
            {
                'image_id': self.image.id,
                'tree': None,
                'size': CHUNK,
                'chunk_size': CHUNK,
                'damaged': [],
            },
            job.pin,
        )

    def test_same_again_is_the_same_job(self):
        job_id, request = new_id(), self.request()
        first = self.reserve(request, job_id)
        self.assertEqual(first, self.reserve(request, job_id))

    def test_same_again_after_its_end_is_still_the_same_job(self):
        job_id, request = new_id(), self.request()
        self.reserve(request, job_id)
        self.fixture.finish(self.fixture.run(job_id))
        again = self.reserve(request, job_id)
        self.assertEqual('succeeded', again.state)

    def test_no_more_than_are_allowed_wait_or_run(self):
        self.fixture.conf.set_override('max_unfinished_jobs', 1, 'server')
        job = self.reserve(self.request())
        request = self.request()
        self.refused('too-many-jobs', 409, request)
        self.fixture.finish(self.fixture.run(job.id), result={})
        self.reserve(request)

    def test_id_of_another_job_is_a_conflict(self):
        job_id = new_id()
        self.reserve(self.request(), job_id)
        self.refused('fingerprint-mismatch', 409, self.request(), job_id)
        _, backup = self.fixture.reserve()
        self.refused('fingerprint-mismatch', 409, self.request(), backup.id)

    def test_images_that_the_project_does_not_have_look_alike(self):
        tombstone = new_id()
        images.delete(self.catalog, tombstone)
        for difference in (
            {'image_id': new_id()},
            {'image_id': tombstone},
            {'project_id': 'b' * 32},
        ):
            self.refused(
                'image-unknown', 404, {**self.request(), **difference}
            )

    def test_image_that_is_not_available_is_not_restored(self):
        creating, _ = self.fixture.reserve()
        images.delete(self.catalog, self.image.id)
        for image_id in (creating.id, self.image.id):
            self.refused(
                'image-not-available',
                409,
                {**self.request(), 'image_id': image_id},
            )

    def test_damaged_image_is_refused_until_that_is_allowed(self):
        with self.fixture.catalog.writer() as session:
            image_rows.move(
                session,
                self.image.id,
                (image_rows.AVAILABLE,),
                damage=[[0, 4], [8, 4]],
                damaged_bytes=8,
            )
        error = self.refused('image-damaged', 409, self.request())
        self.assertIn('8 bytes', str(error))
        self.assertIn('2 places', str(error))
        for allowed in (True, False):
            images.update(
                self.fixture.catalog, self.image.id, restore_damaged=allowed
            )
            if allowed:
                job = self.reserve(self.request())
                self.assertTrue(self.fixture.run(job.id).partial)
        self.refused('image-damaged', 409, self.request())

    def test_smaller_volume_is_refused_with_both_sizes(self):
        error = self.refused(
            'volume-too-small', 400, self.request(size=CHUNK - 1)
        )
        self.assertIn(str(CHUNK), str(error))
        self.assertIn(str(CHUNK - 1), str(error))

    def test_header_of_an_encrypted_volume_is_not_counted(self):
        """Cinder says of neither volume that it has one."""
        with self.fixture.catalog.writer() as session:
            image_rows.move(
                session,
                self.image.id,
                (image_rows.AVAILABLE,),
                size=GIB + 16 * CHUNK,
            )
        self.refused('volume-too-small', 400, self.request(size=GIB - 1))
        job = self.reserve(self.request(size=GIB))
        self.assertEqual('pending', job.state)

    def test_larger_volume_is_fine(self):
        job = self.reserve(self.request(size=2 * CHUNK))
        self.assertEqual('pending', job.state)

    def test_volume_of_another_job_is_refused(self):
        first = self.reserve(self.request())
        self.refused('volume-busy', 409, self.request(id=first.volume_id))
        backup, _ = self.fixture.reserve()
        request = {**self.request(id=backup.volume_id), 'volume_is_new': False}
        self.refused('volume-busy', 409, request)

    def test_backup_that_waits_for_a_volume_that_was_emptied_ends(self):
        backup, waiting = self.fixture.reserve()
        job = self.reserve(self.request(id=backup.volume_id))
        self.assertEqual('pending', job.state)
        self.assertEqual('cancelled', self.fixture.job(waiting.id).state)

    def test_other_zone_is_recorded_and_logged(self):
        job = self.reserve(self.request(availability_zone='two'))
        note = job.parameters['availability_zone_mismatch']
        self.assertIn('two', note)
        self.assertIn('one', note)

    def test_operator_can_refuse_other_zones(self):
        self.fixture.conf.set_override(
            'availability_zone_mismatch', 'refuse', 'server'
        )
        self.refused(
            'availability-zone-mismatch',
            400,
            self.request(availability_zone='two'),
        )

    def test_same_or_unknown_zone_is_no_mismatch(self):
        for volume in ({'availability_zone': 'one'}, {}):
            job = self.reserve(self.request(**volume))
            self.assertNotIn('availability_zone_mismatch', job.parameters)
