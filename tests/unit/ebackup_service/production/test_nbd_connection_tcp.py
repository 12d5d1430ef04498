# SPDX-License-Identifier: Apache-2.0
import threading

from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_library
from tests import base
from tests.unit.ebackup_service.production import hostile_nbd
from tests.unit.ebackup_service.production import nbd_servers


class Stopped(Exception):
    """The job was told to stop."""


class UnsentTest(base.BaseTestCase):
    """What TCP has taken, and not sent yet, when a connection ends."""

    PIECE = 16 << 10
    CONTENT = b'x' * (8 * PIECE)

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.server = self.useFixture(
            hostile_nbd.HostileServer(bytes(8 * self.PIECE), tcp=True)
        )
        self.server.blocks = (1, 4096, self.PIECE)
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)
        self.writing = threading.Event()

    def connection(self, check=lambda: None):
        return nbd_connection.Connection(
            nbd_library.load(),
            nbd_address.Address('a', '', '127.0.0.1', self.server.port, False),
            (),
            nbd_connection.Security(''),
            10,
            check,
        )

    def hang(self, name, offset, length):
        if name == 'write':
            self.writing.set()
            self.go_on.wait()
            # An answer would make TCP reset a connection that was closed.
            raise hostile_nbd.Silence

    def test_nothing_arrives_later_of_what_was_given_up(self):
        def check():
            if self.writing.is_set():
                raise Stopped

        self.server.hook = self.hang
        connection = self.connection(check)
        self.assertRaises(
            Stopped, connection.write, 0, memoryview(self.CONTENT)
        )
        connection.close()
        self.go_on.set()
        self.server.sessions[0].join()
        self.assertEqual([('write', 0, self.PIECE)], self.server.calls)
        self.assertEqual(0, self.server.farewells)

    def test_in_order_it_ends_with_a_good_bye(self):
        connection = self.connection()
        connection.write(0, memoryview(self.CONTENT))
        connection.flush()
        connection.close()
        self.server.sessions[0].join()
        self.assertEqual(self.CONTENT, bytes(self.server.content))
        self.assertEqual(1, self.server.farewells)
