# SPDX-License-Identifier: Apache-2.0

from ebackup_service.server.catalog import chain as chain_rows
from tests.unit.ebackup_service.server.catalog import base


class TestNextGeneration(base.SqliteTestCase):
    def setUp(self):
        super().setUp()
        self.repository_id = self.fixture.make_repository()

    def take(self, project='p', volume='v', chunk_size=65536):
        with self.catalog.writer() as session:
            return chain_rows.next_generation(
                session, self.repository_id, project, volume, chunk_size
            )

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
