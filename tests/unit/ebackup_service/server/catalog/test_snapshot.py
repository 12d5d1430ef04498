# SPDX-License-Identifier: Apache-2.0
import sqlalchemy as sa

from ebackup_service.server.catalog import chain as chain_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server.catalog import storage as storage_rows
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base

HOUR = 3600.0


class SnapshotTests:
    def setUp(self):
        super().setUp()
        self.repository_id = self.fixture.make_repository()
        self.storage_id = catalog_fixture.new_id()
        with self.catalog.writer() as session:
            storage_rows.insert(
                session,
                id=self.storage_id,
                name='one',
                kind='rbd',
                backends=[],
                settings={},
                credentials=None,
                trust=storage_rows.TRUSTED,
                anchors=True,
                configured=False,
            )
            self.chain_id, _, _ = chain_rows.next_generation(
                session, self.repository_id, 'p', catalog_fixture.new_id(), 1
            )

    def insert(self, name, **values):
        with self.catalog.writer() as session:
            snapshot_rows.insert(
                session,
                **{
                    'id': catalog_fixture.new_id(),
                    'storage_id': self.storage_id,
                    'repository_id': self.repository_id,
                    'chain_id': self.chain_id,
                    'image_id': catalog_fixture.new_id(),
                    'job_id': catalog_fixture.new_id(),
                    'volume': {'id': 'v'},
                    'lun': 'lun',
                    'name': name,
                    **values,
                },
            )

    def find(self, **values):
        with self.catalog.reader() as session:
            return snapshot_rows.find(session, **values)

    def condemn(self, *conditions, states=snapshot_rows.STATES):
        with self.catalog.writer() as session:
            return snapshot_rows.condemn(session, states, HOUR, *conditions)

    def releasable(self, limit=10, *conditions, **values):
        with self.catalog.reader() as session:
            found = snapshot_rows.releasable(
                session, limit, *conditions, **values
            )
        return [row.name for row in found]

    def releasing(self):
        with self.catalog.reader() as session:
            return snapshot_rows.releasing(session)

    def pass_time(self, seconds):
        """Let all that is awaited be that much nearer."""
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Snapshot).values(
                    release_after=models.Snapshot.release_after
                    - round(seconds * 1000)
                )
            )

    def test_row(self):
        self.insert('a', snapshot_id='7')
        [row] = self.find(name='a')
        self.assertEqual(
            ('planned', {'id': 'v'}, 'lun', '7', 0),
            (row.state, row.volume, row.lun, row.snapshot_id, row.failures),
        )
        self.assertEqual([], self.find(name='b'))

    def test_only_those_in_a_state_are_moved(self):
        self.insert('a')
        self.insert('b', state='anchor')
        with self.catalog.writer() as session:
            moved = snapshot_rows.move(session, ('planned',), state='taken')
        self.assertEqual(1, moved)
        self.assertEqual(
            {'a': 'taken', 'b': 'anchor'},
            {row.name: row.state for row in self.find()},
        )

    def test_one_that_exists_goes_at_once_and_others_later(self):
        self.insert('unknown')
        self.insert('exists', snapshot_id='7')
        self.assertEqual([], self.releasable())
        self.assertEqual(2, self.condemn())
        self.assertEqual(['exists'], self.releasable())
        self.pass_time(HOUR + 1)
        self.assertEqual({'exists', 'unknown'}, {*self.releasable()})
        self.assertEqual(1, len(self.releasable(1)))

    def test_storages_of_what_may_be_removed(self):
        for name in 'abc':
            self.insert(name, snapshot_id=name)
        self.assertEqual([], self.releasing())
        self.condemn(models.Snapshot.name != 'c')
        self.assertEqual(
            [(self.storage_id, self.repository_id)], self.releasing()
        )
        self.assertEqual(
            ['b'], self.releasable(10, models.Snapshot.name != 'a')
        )
        self.assertEqual([], self.releasable(storage_id='other'))

    def test_condemned_again_it_waits_no_longer(self):
        self.insert('unknown')
        self.condemn(states=('planned',))
        self.pass_time(HOUR / 2)
        self.assertEqual(0, self.condemn(states=('planned', 'taken')))
        self.pass_time(HOUR / 2 + 1)
        self.assertEqual(['unknown'], self.releasable())

    def test_clock_that_was_set_back_keeps_nothing_for_long(self):
        self.insert('unknown')
        self.condemn()
        self.pass_time(-1000 * HOUR)
        self.assertEqual(['unknown'], self.releasable())

    def test_only_condemned_ones_are_removed(self):
        self.insert('a')
        self.insert('b')
        self.condemn(models.Snapshot.name == 'a')
        with self.catalog.writer() as session:
            snapshot_rows.remove(
                session, [row.id for row in snapshot_rows.find(session)]
            )
        self.assertEqual(['b'], [row.name for row in self.find()])

    def test_all_of_a_storage_are_forgotten(self):
        for state in snapshot_rows.STATES:
            self.insert(state, state=state)
        for storage_id, left in (('other', 4), (self.storage_id, 0)):
            with self.catalog.writer() as session:
                snapshot_rows.forget(session, storage_id)
            self.assertEqual(left, len(self.find()))


class TestOnSqlite(SnapshotTests, base.SqliteTestCase):
    pass


class TestOnMariaDb(SnapshotTests, base.MariaDbTestCase):
    pass


class TestOnPostgreSql(SnapshotTests, base.PostgreSqlTestCase):
    pass
