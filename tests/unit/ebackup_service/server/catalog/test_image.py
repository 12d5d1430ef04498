# SPDX-License-Identifier: Apache-2.0

import sqlalchemy as sa

from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import models
from ebackup_service.server import jobs
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base


class TestImage(base.SqliteTestCase):
    def setUp(self):
        super().setUp()
        self.repository_id = self.fixture.make_repository()

    def read(self, function, *args):
        with self.catalog.reader() as session:
            return function(session, *args)

    def test_row_as_it_was_inserted(self):
        image, job = self.fixture.reserve(name='x')
        found = self.read(image_rows.get, image.id)
        self.assertEqual(image, found)
        self.assertEqual('default', found.repository)
        self.assertEqual(job.id, found.job_id)
        self.assertEqual(found.created_at, found.updated_at)

    def test_tombstone_has_little_to_tell(self):
        catalog_fixture.images.delete(self.catalog, 'x')
        found = self.read(image_rows.get, 'x')
        self.assertEqual('deleted', found.state)
        self.assertEqual(({}, {}), (found.volume, found.record))
        self.assertIsNone(found.repository)

    def test_unknown(self):
        self.assertIsNone(self.read(image_rows.get, 'x'))

    def test_move_only_from_the_states_that_are_named(self):
        image, _ = self.fixture.reserve()
        with self.catalog.writer() as session:
            moved = [
                image_rows.move(session, image.id, states, state=state)
                for states, state in (
                    (['available'], 'error'),
                    (['creating', 'available'], 'available'),
                    (['creating'], 'error'),
                )
            ]
        self.assertEqual([False, True, False], moved)
        self.assertEqual('available', self.fixture.image(image.id).state)

    def test_newest_is_the_available_one_of_the_highest_generation(self):
        volume_id = catalog_fixture.new_id()
        made = [self.fixture.make_image(volume_id=volume_id) for _ in range(2)]
        self.fixture.reserve(volume_id=volume_id)
        chain_id = made[0].chain_id
        found = self.read(image_rows.newest, chain_id, 65536)
        self.assertEqual(made[1].id, found.id)
        self.assertIsNone(self.read(image_rows.newest, chain_id, 131072))

    def test_pages_go_on_behind_the_marker_even_at_the_same_instant(self):
        made = [self.fixture.reserve()[0].id for _ in range(4)]
        with self.catalog.writer() as session:
            session.execute(sa.update(models.Image).values(created_at=1))
        seen = []
        marker = None
        while page := self.read(image_rows.page, {}, 1, marker):
            marker = page[0].id
            seen.append(marker)
        self.assertEqual(sorted(made, reverse=True), seen)

    def test_states_of_known_images(self):
        image, _ = self.fixture.reserve()
        made = self.fixture.make_image()
        self.assertEqual(
            {image.id: ('creating', False), made.id: ('available', True)},
            self.read(
                image_rows.states,
                *(self.repository_id, [image.id, made.id, 'x']),
            ),
        )

    def test_missed_are_the_available_ones_that_are_not_named(self):
        named, missed = self.fixture.make_image(), self.fixture.make_image()
        self.fixture.reserve()
        found = self.read(image_rows.missed, self.repository_id, [named.id])
        self.assertEqual([missed], found)

    def test_abandoned_are_those_in_deletion_without_a_job(self):
        image = self.fixture.make_image()
        job = catalog_fixture.images.delete(self.catalog, image.id)
        self.assertEqual([], self.read(image_rows.abandoned, -1000))
        jobs.cancel(self.catalog, job.id)
        [found] = self.read(image_rows.abandoned, -1000)
        self.assertEqual(image.id, found.id)
        self.assertEqual([], self.read(image_rows.abandoned, 60000))
        # The clock was set back since.
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Image).values(
                    updated_at=models.Image.updated_at + 3600 * 1000
                )
            )
        [found] = self.read(image_rows.abandoned, 60000)
        self.assertEqual(image.id, found.id)
