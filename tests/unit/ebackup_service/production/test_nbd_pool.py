# SPDX-License-Identifier: Apache-2.0
import threading

from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_pool
from tests import base


class Stopped(Exception):
    pass


class FakeConnection:
    def __init__(self):
        self.closed = False

    def close(self):
        self.closed = True


class PoolTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.made = []
        self.check = lambda: None

    def make(self):
        self.made.append(FakeConnection())
        return self.made[-1]

    def pool(self, limit=2):
        return nbd_pool.Pool(
            self.make, self.make(), limit, lambda: self.check()
        )

    def test_free_one_is_used_again(self):
        pool = self.pool()
        for _ in range(3):
            with pool.borrow() as connection:
                self.assertIs(self.made[0], connection)

    def test_one_more_is_made_up_to_the_limit(self):
        pool = self.pool()
        with pool.borrow() as first, pool.borrow() as second:
            self.assertEqual(self.made, [first, second])

            def check():
                raise Stopped

            self.check = check
            self.assertRaises(Stopped, pool.borrow().__enter__)

    def test_filled_it_makes_no_more(self):
        pool = self.pool(3)
        with pool.filled() as connections:
            self.assertEqual(self.made, connections)
            self.assertEqual(3, len(connections))
        with pool.borrow(), pool.borrow(), pool.borrow():
            self.assertEqual(3, len(self.made))

    def test_waits_for_one(self):
        pool = self.pool(1)
        waits = threading.Event()
        self.check = waits.set
        got = []

        def borrow():
            with pool.borrow() as connection:
                got.append(connection)

        thread = threading.Thread(target=borrow)
        with pool.borrow():
            thread.start()
            waits.wait()
            self.assertEqual([], got)
        thread.join()
        self.assertEqual(self.made, got)

    def test_refused_keeps_it(self):
        pool = self.pool()

        def refuse():
            with pool.borrow():
                raise nbd_connection.Refused('EIO')

        self.assertRaises(nbd_connection.Refused, refuse)
        with pool.borrow() as connection:
            self.assertIs(self.made[0], connection)

    def test_lost_or_stopped_in_the_middle_loses_it(self):
        pool = self.pool(1)
        for number, error in enumerate((nbd_connection.Lost, Stopped)):

            def fail(error=error):
                with pool.borrow():
                    raise error

            self.assertRaises(error, fail)
            self.assertTrue(self.made[number].closed)
            with pool.borrow() as connection:
                self.assertIs(self.made[number + 1], connection)

    def test_making_one_fails(self):
        pool = self.pool(1)
        with self.assertRaisesRegex(nbd_connection.Lost, 'one'):
            with pool.borrow():
                raise nbd_connection.Lost('one')

        def fail():
            raise nbd_connection.Lost('two')

        pool._connect = fail
        for _ in range(3):  # none of the attempts counts as borrowed
            self.assertRaises(nbd_connection.Lost, pool.borrow().__enter__)

    def test_for_each(self):
        pool = self.pool()
        with pool.borrow(), pool.borrow():
            pass
        seen = []
        pool.for_each(seen.append)
        self.assertEqual({*self.made}, {*seen})

    def test_close(self):
        pool = self.pool()
        with pool.borrow(), pool.borrow():
            pass
        pool.close()
        pool.close()
        self.assertTrue(all(connection.closed for connection in self.made))
