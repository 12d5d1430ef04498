# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server import images
from ebackup_service.server import jobs
from tests.unit.ebackup_service.server.catalog import base


class TestRepository(base.SqliteTestCase):
    def setUp(self):
        super().setUp()
        self.repository_id = self.fixture.make_repository('b')

    def found(self):
        with self.catalog.reader() as session:
            return repository_rows.get(session, self.repository_id)

    def test_row_by_id_and_by_name(self):
        with self.catalog.reader() as session:
            named = repository_rows.named(session, 'b')
            self.assertIsNone(repository_rows.named(session, 'x'))
            self.assertIsNone(repository_rows.get(session, 'x'))
        self.assertEqual(named, self.found())
        self.assertEqual(('b', 'available'), (named.name, named.state))

    def test_every_by_name(self):
        self.fixture.make_repository('a')
        with self.catalog.reader() as session:
            found = repository_rows.every(session)
        self.assertEqual(['a', 'b'], [each.name for each in found])

    def test_litter_is_counted(self):
        with self.catalog.writer() as session:
            for _ in range(2):
                repository_rows.littered(session, self.repository_id)
        self.assertEqual(2, self.found().garbage)

    def test_update(self):
        with self.catalog.writer() as session:
            repository_rows.update(
                session,
                self.repository_id,
                usage={'free': 1},
                used_at=clock.now(),
            )
        found = self.found()
        self.assertEqual({'free': 1}, found.usage)
        self.assertGreaterEqual(found.used_at, found.created_at)

    def test_blank_is_of_what_nothing_is_known(self):
        def is_blank():
            with self.catalog.reader() as session:
                return repository_rows.is_blank(session, self.repository_id)

        self.assertTrue(is_blank())
        self.fixture.reserve(repository='b')
        self.assertFalse(is_blank())

    def test_forgotten_with_its_jobs_but_not_with_its_tombstones(self):
        image = self.fixture.make_image(repository='b')
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id))
        other = self.fixture.make_repository('a')
        kept = self.fixture.make_image(repository='a')
        with self.catalog.writer() as session:
            repository_rows.forget(session, self.repository_id)
        self.assertIsNone(self.found())
        tombstone = self.fixture.image(image.id)
        self.assertEqual(
            ('deleted', None, None, image.project_id),
            (
                tombstone.state,
                tombstone.repository,
                tombstone.chain_id,
                tombstone.project_id,
            ),
        )
        self.assertEqual(kept, self.fixture.image(kept.id))
        found, _ = jobs.list(self.catalog)
        self.assertEqual({other}, {job.repository_id for job in found})

    def test_blank_one_can_be_forgotten(self):
        with self.catalog.writer() as session:
            repository_rows.remove(session, self.repository_id)
        self.assertIsNone(self.found())
