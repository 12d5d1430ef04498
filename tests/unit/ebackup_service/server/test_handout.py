# SPDX-License-Identifier: Apache-2.0
import os

import sqlalchemy as sa

from ebackup_service.rpc import messages
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import service
from ebackup_service.server import handout
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import storage_fixture

TREE = {'id': '00' * 32, 'offset': 1}


class TestHandOut(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.repository_id = self.fixture.make_repository()

    def hand_out(self, job):
        with self.catalog.writer() as session:
            owner = service.lock(session)
            now = clock.read(session)
            return handout.hand_out(
                session, self.fixture.conf, owner, job, 'here', now
            )

    def backup(self, **values):
        image, job = self.fixture.reserve(**values)
        return image, self.hand_out(job)

    def finished(self, volume_id, tree=TREE):
        image, job = self.fixture.reserve(volume_id=volume_id)
        spec = self.fixture.run(job.id)
        self.fixture.commit(spec, tree)
        self.fixture.finish(spec, result={})
        return image

    def test_repository_comes_with_its_owner(self):
        spec = self.hand_out(repositories.collect(self.catalog, 'default'))
        with self.catalog.writer() as session:
            owner = service.lock(session)
        self.assertEqual(
            messages.RepositorySpec(
                id=self.repository_id,
                name='default',
                url=f'file://{self.fixture.directory}/default',
                owner=messages.Owner(owner.uuid, 1),
                compression='zstd',
                compression_level=self.fixture.conf.repository.compression_level,
                minimum_free=0,
            ),
            spec.repository,
        )
        self.assertIsNone(spec.image)

    def test_lost_reads_add_up_from_run_to_run(self):
        _, job = self.fixture.reserve()
        reads = []
        for read in (10, 30):
            spec = self.fixture.run(job.id)
            before = spec.begun.total['bytes_reread'] if spec.begun else 0
            self.fixture.finish(
                spec,
                'returned',
                progress={'bytes_read': read, 'bytes_reread': before},
            )
            reads.append(read)
        spec = self.fixture.run(job.id)
        self.assertEqual({'bytes_reread': sum(reads)}, spec.begun.total)
        self.assertEqual((None, 0), (spec.begun.tree, spec.begun.leaf))

    def test_restore_that_was_interrupted_compares(self):
        image = self.fixture.make_image()
        job = self.fixture.restore(image)
        spec = self.fixture.run(job.id)
        self.assertTrue(spec.target.is_new)
        self.fixture.finish(spec, 'returned')
        spec = self.fixture.run(job.id)
        self.assertFalse(spec.target.is_new)
        self.assertIsNone(spec.begun)

    def test_image_comes_with_all_that_its_root_holds(self):
        image, spec = self.backup(
            record={'display_name': 'x'}, volume_metadata='{}'
        )
        self.assertEqual(
            messages.ImageSpec(
                id=image.id,
                project_id=catalog_fixture.PROJECT,
                volume_id=image.volume_id,
                generation=1,
                size=catalog_fixture.CHUNK,
                chunk_size=catalog_fixture.CHUNK,
                record={'display_name': 'x'},
                volume_metadata='{}',
            ),
            spec.image,
        )

    def test_message_survives_the_wire(self):
        _, spec = self.backup()
        self.assertEqual(spec, messages.JobSpec.from_dict(spec.to_dict()))

    def test_first_backup_has_no_base(self):
        _, spec = self.backup()
        self.assertIsNone(spec.base)
        self.assertIsNone(self.fixture.job(spec.id).pin)

    def test_base_is_the_newest_image_and_pinned(self):
        volume_id = catalog_fixture.new_id()
        self.finished(volume_id)
        newest = self.finished(volume_id)
        _, spec = self.backup(volume_id=volume_id)
        expected = messages.TreeSpec(
            newest.id, TREE, catalog_fixture.CHUNK, catalog_fixture.CHUNK
        )
        self.assertEqual(expected, spec.base)
        self.assertEqual(expected.to_dict(), self.fixture.job(spec.id).pin)

    def test_two_at_once_have_the_same_base(self):
        volume_id = catalog_fixture.new_id()
        base_image = self.finished(volume_id)
        specs = [self.backup(volume_id=volume_id)[1] for _ in range(2)]
        self.assertEqual(
            [base_image.id] * 2, [spec.base.image_id for spec in specs]
        )
        self.assertEqual([2, 3], [spec.image.generation for spec in specs])

    def test_backup_that_has_begun_keeps_its_base(self):
        """What an earlier run has left refers to that."""
        volume_id = catalog_fixture.new_id()
        self.finished(volume_id)
        before = self.finished(volume_id)
        _, job = self.fixture.reserve(volume_id=volume_id)
        self.fixture.finish(self.fixture.run(job.id), 'returned')
        catalog_fixture.images.delete(self.catalog, before.id)
        self.assertEqual(before.id, self.fixture.job(job.id).pin['image_id'])
        again = self.fixture.run(job.id)
        self.assertEqual(before.id, again.base.image_id)
        self.assertEqual(before.id, self.fixture.job(job.id).pin['image_id'])

    def finished_beside(self, volume_id, begin):
        """A backup, and an image that came while it waited again."""
        _, job = self.fixture.reserve(volume_id=volume_id)
        image, other = self.fixture.reserve(volume_id=volume_id)
        self.fixture.announce()
        self.fixture.attach(job.id)
        first = begin(job.id)
        beside = self.fixture.run(other.id)
        self.fixture.finish(first, 'returned')
        self.fixture.commit(beside, TREE)
        self.fixture.finish(beside, result={})
        return job, image

    def test_backup_that_has_begun_without_base_gets_none(self):
        job, _ = self.finished_beside(
            catalog_fixture.new_id(), self.fixture.run
        )
        self.assertIsNone(self.fixture.run(job.id).base)

    def test_backup_that_was_not_begun_gets_the_newest_base(self):
        job, newest = self.finished_beside(
            catalog_fixture.new_id(),
            lambda job_id: self.fixture.assign()[job_id],
        )
        self.assertEqual(newest.id, self.fixture.run(job.id).base.image_id)

    def test_deleted_image_is_no_base(self):
        volume_id = catalog_fixture.new_id()
        older = self.finished(volume_id)
        newest = self.finished(volume_id)
        catalog_fixture.images.delete(self.catalog, newest.id)
        _, spec = self.backup(volume_id=volume_id)
        self.assertEqual(older.id, spec.base.image_id)

    def test_image_of_zeros_is_a_base_without_tree(self):
        volume_id = catalog_fixture.new_id()
        self.finished(volume_id, None)
        _, spec = self.backup(volume_id=volume_id)
        self.assertIsNone(spec.base.tree)

    def test_restore_comes_with_tree_and_target(self):
        image = self.finished(catalog_fixture.new_id())
        job = self.fixture.restore(
            catalog_fixture.images.show(self.catalog, image.id),
            volume={'size': 3 * catalog_fixture.CHUNK},
        )
        spec = self.hand_out(job)
        self.assertEqual(TREE, spec.tree.tree)
        self.assertEqual(
            messages.TargetSpec(
                job.volume_id, 3 * catalog_fixture.CHUNK, True
            ),
            spec.target,
        )
        self.assertIsNone(spec.base)

    def test_job_that_has_moved_since_is_not_handed_out(self):
        _, job = self.fixture.reserve()
        jobs.cancel(self.catalog, job.id)
        self.assertIsNone(self.hand_out(job))

    def test_job_that_needs_something_since_read_is_not_handed_out(self):
        _, job = self.fixture.reserve()
        self.fixture.attach(job.id)
        self.assertIsNone(self.hand_out(job))
        self.assertEqual('pending', self.fixture.job(job.id).state)


class TestStorage(base.BaseTestCase):
    """Jobs of volumes on a storage that is registered."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.useFixture(storage_fixture.PlayedKind())
        storages.create(
            self.catalog,
            self.fixture.conf,
            'ceph1',
            storage_fixture.KIND,
            **storage_fixture.values(),
        )

    def reserve(self, host=storage_fixture.HOST):
        _, job = self.fixture.reserve(
            volume={'host': host, 'backend_name': 'volume-1'}
        )
        if job.needs:
            self.fixture.attach(job.id)
        return job

    def announce(self):
        self.fixture.announce(production=['attached', storage_fixture.KIND])

    def run_job(self, job):
        self.announce()
        spec = self.fixture.assign()[job.id]
        self.fixture.renew(spec)
        return spec

    def test_comes_with_its_credentials(self):
        spec = self.run_job(self.reserve())
        self.assertEqual('ceph1', spec.storage.name)
        self.assertEqual(
            {'key': storage_fixture.SECRET}, spec.storage.credentials
        )
        self.assertEqual(spec, messages.JobSpec.from_dict(spec.to_dict()))

    def test_comes_to_no_other_job(self):
        spec = self.fixture.run(self.reserve('node@two#pool').id)
        self.assertIsNone(spec.storage)
        spec = self.fixture.run(
            repositories.collect(self.catalog, 'default').id
        )
        self.assertIsNone(spec.storage)

    def test_every_run_has_those_that_are_registered_then(self):
        job = self.reserve()
        self.fixture.finish(self.run_job(job), 'returned')
        storages.update(
            self.catalog,
            self.fixture.conf,
            'ceph1',
            credentials={'key': 'changed'},
        )
        spec = self.run_job(job)
        self.assertEqual({'key': 'changed'}, spec.storage.credentials)

    def test_catalog_holds_no_credentials(self):
        self.run_job(self.reserve())
        with self.catalog.engine.connect() as connection:
            for table in models.Base.metadata.sorted_tables:
                rows = connection.execute(sa.select(table)).all()
                self.assertNotIn(storage_fixture.SECRET, str(rows))

    def test_without_the_key_the_job_fails_and_no_other(self):
        job, other = self.reserve(), self.reserve('node@two#pool')
        os.unlink(f'{self.fixture.directory}/ebackup.keys')
        self.announce()
        self.assertEqual([other.id], [*self.fixture.assign()])
        failed = self.fixture.job(job.id)
        self.assertEqual(
            ('failed', 'key-unusable'), (failed.state, failed.error['kind'])
        )
        self.assertIn('ebackup.keys is missing', failed.error['message'])
