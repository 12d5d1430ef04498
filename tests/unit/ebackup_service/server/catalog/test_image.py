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

    def test_states_are_of_images_of_one_repository(self):
        self.fixture.make_repository('other')
        image, _ = self.fixture.reserve(repository='other')
        self.assertEqual(
            {}, self.read(image_rows.states, self.repository_id, [image.id])
        )

    def test_several_in_the_order_in_which_they_are_named(self):
        made = [self.fixture.make_image() for _ in range(3)]
        made.sort(key=lambda image: image.id, reverse=True)
        many = [catalog_fixture.new_id() for _ in range(600)]
        asked = [made[0].id, *many, made[1].id, made[2].id]
        self.assertEqual(made, self.read(image_rows.several, asked))

    def test_every_available(self):
        made = {self.fixture.make_image().id for _ in range(3)}
        self.fixture.reserve()
        self.fixture.make_repository('other')
        self.fixture.make_image(repository='other')
        found = self.read(image_rows.every_available, self.repository_id)
        self.assertEqual(made, found)

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


class TestPlans(base.SqliteTestCase):
    """How sqlite finds rows, of which there may be very many."""

    def plan(self, function, *args):
        """A line for each table that the only statement looks into."""
        seen = []

        def note(connection, cursor, statement, parameters, context, many):
            if 'EXPLAIN' not in statement:
                seen.append((statement, parameters))

        engine = self.catalog.engine
        sa.event.listen(engine, 'before_cursor_execute', note)
        try:
            with self.catalog.reader() as session:
                function(session, *args)
                [(statement, parameters)] = [
                    one for one in seen if one[0].startswith('SELECT')
                ]
                rows = session.connection().exec_driver_sql(
                    f'EXPLAIN QUERY PLAN {statement}', parameters
                )
                return [row[3] for row in rows]
        finally:
            sa.event.remove(engine, 'before_cursor_execute', note)

    def test_states_are_found_by_id(self):
        many = [catalog_fixture.new_id() for _ in range(500)]
        [line] = self.plan(image_rows.states, 'r', many)
        self.assertIn('USING INDEX sqlite_autoindex_images_1 (id=?)', line)

    def test_ids_are_read_from_an_index_and_nothing_is_sorted(self):
        for function, *args in (
            (image_rows.every_available, 'r'),
            (image_rows.available, 'r', 'x', 10),
            (image_rows.count, 'r'),
        ):
            [line] = self.plan(function, *args)
            self.assertIn('COVERING INDEX', line)
            self.assertIn('repository_id=? AND state=?', line)

    def test_those_with_damage_are_not_sorted(self):
        plan = self.plan(image_rows.damaged, 'r', 'x', 10)
        self.assertIn('repository_id=? AND state=? AND id>?', plan[0])
        self.assertNotIn('B-TREE', ' '.join(plan))

    def test_those_in_deletion_are_found_by_their_state(self):
        plan = self.plan(image_rows.abandoned, 0)
        self.assertIn('images USING INDEX', plan[0])
        self.assertIn('repository_id=? AND state=?', plan[0])
