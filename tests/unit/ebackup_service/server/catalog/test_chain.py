# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server.catalog import chain as chain_rows
from tests.unit.ebackup_service.server.catalog import base


class ChainTestCase(base.SqliteTestCase):
    def setUp(self):
        super().setUp()
        self.repository_id = self.fixture.make_repository()

    def take(self, project='p', volume='v', chunk_size=65536):
        with self.catalog.writer() as session:
            return chain_rows.next_generation(
                session, self.repository_id, project, volume, chunk_size
            )


class TestNextGeneration(ChainTestCase):
    def test_chain_counts_from_one(self):
        first, second = self.take(), self.take()
        self.assertEqual((1, 2), (first[1], second[1]))
        self.assertEqual(first[0], second[0])

    def test_chains_count_apart(self):
        self.take()
        for key in (('q', 'v'), ('p', 'w')):
            self.assertEqual(1, self.take(*key)[1])

    def test_chunk_size_is_that_of_the_beginning(self):
        self.assertEqual(65536, self.take()[2])
        self.assertEqual(65536, self.take(chunk_size=131072)[2])

    def test_generation_of_a_transaction_that_failed_is_not_lost(self):
        self.take()

        def fail():
            with self.catalog.writer() as session:
                chain_rows.next_generation(
                    session, self.repository_id, 'p', 'v', 65536
                )
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(2, self.take()[1])


class TestReach(ChainTestCase):
    def reach(self, generation, chunk_size=65536, volume='v'):
        with self.catalog.writer() as session:
            return chain_rows.reach(
                session,
                self.repository_id,
                'p',
                volume,
                generation,
                chunk_size,
            )

    def test_new_chain_goes_on_behind_it(self):
        chain_id = self.reach(4, 131072)
        self.assertEqual((chain_id, 5, 131072), self.take())

    def test_chain_never_goes_back(self):
        self.reach(4)
        self.reach(2, 131072)
        self.assertEqual((5, 65536), self.take()[1:])

    def test_newest_generation_says_the_chunk_size(self):
        self.reach(2)
        self.reach(4, 131072)
        self.assertEqual((5, 131072), self.take()[1:])

    def test_all_chains_of_a_repository(self):
        for generation, volume in ((2, 'v'), (9, 'w')):
            self.reach(generation, volume=volume)
        other = self.fixture.make_repository('other')
        with self.catalog.writer() as session:
            chain_rows.reach(session, other, 'p', 'v', 1, 65536)
            chain_rows.reach_all(session, self.repository_id, 5)
        self.assertEqual(6, self.take()[1])
        self.assertEqual(10, self.take(volume='w')[1])
        self.repository_id = other
        self.assertEqual(2, self.take()[1])
