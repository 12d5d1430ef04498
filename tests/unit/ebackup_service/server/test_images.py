# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from tests import base
from tests.unit.ebackup_service import catalog_fixture

PROJECT = catalog_fixture.PROJECT
OTHER = 'b' * 32
CHUNK = catalog_fixture.CHUNK
new_id = catalog_fixture.new_id


class ImagesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.conf = self.fixture.conf
        self.fixture.make_repository()

    def refused(self, kind, code, function, *args, **kwargs):
        error = self.assertRaises(
            errors.ServerError, function, *args, **kwargs
        )
        self.assertEqual((kind, code), (error.kind, error.code))
        return error


class TestReserve(ImagesTestCase):
    def test_new_image_is_in_creation_and_its_job_needs_an_attachment(self):
        image_id = new_id()
        image, job = self.fixture.reserve(image_id, name='nightly')
        self.assertEqual(image_id, image.id)
        self.assertEqual('creating', image.state)
        self.assertEqual('default', image.repository)
        self.assertEqual(CHUNK, image.size)
        self.assertEqual('nightly', image.name)
        self.assertEqual(1, image.generation)
        self.assertEqual(job.id, image.job_id)
        self.assertEqual('backup', job.kind)
        self.assertEqual('pending', job.state)
        self.assertEqual('attachment', job.needs)
        self.assertEqual(image_id, job.image_id)

    def test_same_again_is_the_same_job(self):
        image_id, volume_id = new_id(), new_id()
        first = self.fixture.reserve(image_id, volume_id=volume_id)
        again = self.fixture.reserve(image_id, volume_id=volume_id)
        self.assertEqual(first[1].id, again[1].id)
        self.assertEqual(1, again[0].generation)

    def test_path_host_and_name_are_no_part_of_the_fingerprint(self):
        image_id, volume_id = new_id(), new_id()
        _, first = self.fixture.reserve(image_id, volume_id=volume_id)
        _, again = self.fixture.reserve(
            image_id,
            volume_id=volume_id,
            name='other',
            volume={'host': 'elsewhere@lvm#pool'},
        )
        self.assertEqual(first.id, again.id)

    def test_available_image_has_no_job_to_wait_for(self):
        image = self.fixture.make_image()
        again, job = self.fixture.reserve(image.id, volume_id=image.volume_id)
        self.assertEqual('available', again.state)
        self.assertIsNone(job)

    def test_no_more_than_are_allowed_wait_or_run(self):
        self.fixture.conf.set_override('max_unfinished_jobs', 2, 'server')
        first, job = self.fixture.reserve()
        self.fixture.reserve()
        self.refused('too-many-jobs', 409, self.fixture.reserve)
        # Those that are known are answered, what ended makes room,
        _, again = self.fixture.reserve(first.id, volume_id=first.volume_id)
        self.assertEqual(job.id, again.id)
        jobs.cancel(self.catalog, job.id)
        self.fixture.reserve()
        # and nothing keeps anybody from deleting.
        images.delete(self.catalog, first.id)
        self.refused('too-many-jobs', 409, self.fixture.reserve)

    def test_another_fingerprint_is_a_conflict(self):
        image_id, volume_id = new_id(), new_id()
        self.fixture.reserve(image_id, volume_id=volume_id)
        for difference in (
            {'volume_id': new_id()},
            {'size': 2 * CHUNK},
            {'snapshot_id': new_id()},
            {'project_id': OTHER},
        ):
            asked = {'volume_id': volume_id, **difference}
            self.refused(
                'fingerprint-mismatch',
                409,
                self.fixture.reserve,
                image_id,
                **asked,
            )

    def test_failed_image_repeats_its_failure(self):
        image, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        error = catalog_fixture.messages.JobError(
            'path-unknown', 'Nothing is at /dev/x.'
        )
        self.fixture.finish(spec, 'failed', error=error)
        found = self.refused(
            'image-failed',
            409,
            self.fixture.reserve,
            image.id,
            volume_id=image.volume_id,
        )
        self.assertIn('Nothing is at /dev/x.', str(found))

    def test_deleted_image_stays_deleted(self):
        image, _ = self.fixture.reserve()
        images.delete(self.catalog, image.id)
        self.refused(
            'image-deleted',
            409,
            self.fixture.reserve,
            image.id,
            volume_id=image.volume_id,
        )

    def test_delete_may_come_before_the_create(self):
        image_id = new_id()
        self.assertIsNone(images.delete(self.catalog, image_id))
        self.refused('image-deleted', 409, self.fixture.reserve, image_id)

    def test_images_of_one_volume_have_rising_generations(self):
        volume_id = new_id()
        generations = [
            self.fixture.reserve(volume_id=volume_id)[0].generation
            for _ in range(3)
        ]
        self.assertEqual([1, 2, 3], generations)

    def test_generation_of_a_deleted_image_is_not_used_again(self):
        volume_id = new_id()
        image, _ = self.fixture.reserve(volume_id=volume_id)
        images.delete(self.catalog, image.id)
        again, _ = self.fixture.reserve(volume_id=volume_id)
        self.assertEqual(2, again.generation)

    def test_each_project_has_a_chain_of_its_own(self):
        volume_id = new_id()
        mine, _ = self.fixture.reserve(volume_id=volume_id)
        theirs, _ = self.fixture.reserve(volume_id=volume_id, project_id=OTHER)
        self.assertEqual(1, theirs.generation)
        self.assertNotEqual(mine.chain_id, theirs.chain_id)

    def test_chain_keeps_the_chunk_size_it_began_with(self):
        volume_id = new_id()
        self.fixture.reserve(volume_id=volume_id)
        self.conf.set_override('chunk_size', 1048576, 'repository')
        same, _ = self.fixture.reserve(volume_id=volume_id)
        other, _ = self.fixture.reserve()
        self.assertEqual(65536, same.chunk_size)
        self.assertEqual(1048576, other.chunk_size)

    def test_unknown_repository_is_refused(self):
        self.refused(
            'repository-unknown',
            400,
            self.fixture.reserve,
            repository='nowhere',
        )

    def test_repository_that_is_not_ready_is_a_conflict(self):
        self.fixture.make_repository('new', state='creating')
        self.refused(
            'repository-not-ready',
            409,
            self.fixture.reserve,
            repository='new',
        )

    def test_volume_that_is_being_restored_is_not_backed_up(self):
        job = self.fixture.restore(self.fixture.make_image())
        self.refused(
            'volume-busy',
            409,
            self.fixture.reserve,
            volume_id=job.volume_id,
        )

    def test_whole_record_and_metadata_are_kept(self):
        image, _ = self.fixture.reserve(
            record={'display_name': 'n\U0001f4be', 'size': 1},
            volume_metadata='{"a": "ä"}',
        )
        found = images.show(self.catalog, image.id)
        self.assertEqual('n\U0001f4be', found.record['display_name'])
        self.assertEqual('{"a": "ä"}', found.volume_metadata)


class TestLook(ImagesTestCase):
    def test_own_image_is_shown(self):
        image, _ = self.fixture.reserve()
        self.assertEqual(image, images.show(self.catalog, image.id, PROJECT))

    def test_unknown_deleted_and_other_projects_images_look_alike(self):
        image, _ = self.fixture.reserve()
        tombstone = new_id()
        images.delete(self.catalog, tombstone)
        for image_id, project in (
            (new_id(), PROJECT),
            (tombstone, None),
            (image.id, OTHER),
        ):
            error = self.refused(
                'image-unknown',
                404,
                images.show,
                self.catalog,
                image_id,
                project,
            )
            self.assertEqual(f'No image {image_id}.', str(error))

    def test_list_goes_from_new_to_old_page_by_page(self):
        made = [self.fixture.reserve()[0].id for _ in range(5)]
        seen, marker = [], None
        while True:
            page, marker = images.list(self.catalog, limit=2, marker=marker)
            seen += [image.id for image in page]
            if marker is None:
                break
        self.assertEqual(sorted(made), sorted(seen))
        instants = [
            images.show(self.catalog, image_id).created_at for image_id in seen
        ]
        self.assertEqual(sorted(instants, reverse=True), instants)

    def test_list_is_filtered(self):
        mine, _ = self.fixture.reserve()
        theirs, _ = self.fixture.reserve(project_id=OTHER)
        done = self.fixture.make_image()
        for expected, filters in (
            ([theirs.id], {'project_id': OTHER}),
            ([mine.id], {'volume_id': mine.volume_id}),
            ([done.id], {'state': 'available'}),
        ):
            found, _ = images.list(self.catalog, **filters)
            self.assertEqual(expected, [image.id for image in found])

    def test_tombstones_are_listed_only_when_asked_for(self):
        image_id = new_id()
        images.delete(self.catalog, image_id)
        self.assertEqual(([], None), images.list(self.catalog))
        found, _ = images.list(self.catalog, state='deleted')
        self.assertEqual([image_id], [image.id for image in found])


class TestUpdate(ImagesTestCase):
    def test_permission_to_restore_a_part(self):
        image = self.fixture.make_image()
        self.assertFalse(image.restore_damaged)
        for allowed in (True, True, False):
            image = images.update(
                self.catalog, image.id, restore_damaged=allowed
            )
            self.assertIs(allowed, image.restore_damaged)

    def test_unknown_and_deleted_images(self):
        deleted = catalog_fixture.new_id()
        images.delete(self.catalog, deleted)
        for image_id in (deleted, catalog_fixture.new_id()):
            self.assertRaises(
                errors.NotFound,
                images.update,
                self.catalog,
                image_id,
                restore_damaged=True,
            )


class TestDelete(ImagesTestCase):
    def test_available_image_gets_a_job(self):
        image = self.fixture.make_image()
        job = images.delete(self.catalog, image.id)
        self.assertEqual(('delete', 'pending'), (job.kind, job.state))
        self.assertIsNone(job.needs)
        found = images.show(self.catalog, image.id)
        self.assertEqual('deleting', found.state)
        self.assertEqual(job.id, found.job_id)

    def test_twice_is_the_same_job(self):
        image = self.fixture.make_image()
        job = images.delete(self.catalog, image.id)
        self.assertEqual(job.id, images.delete(self.catalog, image.id).id)

    def test_deleted_image_has_nothing_left_to_do(self):
        image = self.fixture.make_image()
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id))
        self.assertIsNone(images.delete(self.catalog, image.id))

    def test_backup_that_waits_is_cancelled_at_once(self):
        image, backup = self.fixture.reserve()
        images.delete(self.catalog, image.id)
        self.assertEqual('cancelled', self.fixture.job(backup.id).state)

    def test_backup_that_runs_is_asked_to_stop_and_waited_for(self):
        image, backup = self.fixture.reserve()
        spec = self.fixture.run(backup.id)
        job = images.delete(self.catalog, image.id)
        self.assertIsNotNone(self.fixture.job(backup.id).cancel_reason)
        self.assertEqual({}, self.fixture.assign())
        self.fixture.finish(spec, 'cancelled')
        self.assertEqual([job.id], list(self.fixture.assign()))

    def test_backup_that_ended_just_before_is_deleted_all_the_same(self):
        image, backup = self.fixture.reserve()
        spec = self.fixture.run(backup.id)
        self.fixture.commit(spec)
        images.delete(self.catalog, image.id)
        self.fixture.finish(spec, 'succeeded', result={})
        self.assertEqual('cancelled', self.fixture.job(backup.id).state)
        self.assertEqual('deleting', images.show(self.catalog, image.id).state)

    def test_failed_deletion_can_be_asked_for_again(self):
        image = self.fixture.make_image()
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        again = images.delete(self.catalog, image.id)
        self.assertNotEqual(job.id, again.id)
        self.assertEqual('pending', again.state)

    def test_other_projects_image_is_unknown(self):
        image, job = self.fixture.reserve()
        self.refused(
            'image-unknown',
            404,
            images.delete,
            self.catalog,
            image.id,
            OTHER,
        )
        self.assertEqual('pending', jobs.show(self.catalog, job.id).state)
