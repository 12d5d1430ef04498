# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.production import errors
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_extents
from tests.unit.ebackup_service.production import hostile_nbd
from tests.unit.ebackup_service.production import test_nbd_source

SIZE = test_nbd_source.SIZE


class OpenerTest(test_nbd_source.HostileTestCase):
    def target(self, is_new=False):
        target = self.opener().target(self.address, SIZE, is_new)
        self.addCleanup(target.close)
        return target

    def test_probe(self):
        self.opener().probe(self.address)
        self.server.deny = True
        self.assertRaises(
            errors.AccessDenied, self.opener().probe, self.address
        )
        self.server.stop()
        self.assertRaises(
            errors.SourceUnavailable, self.opener().probe, self.address
        )
        self.server.start()

    def refuse_key(self, times):
        """Let the handshake of so many connections be ended."""
        connection = nbd_connection.Connection
        refused = iter(range(times))

        def connect(*arguments):
            if next(refused, None) is not None:
                raise nbd_connection.KeyRefused('wrong')
            return connection(*arguments)

        self.useFixture(
            fixtures.MockPatchObject(nbd_connection, 'Connection', connect)
        )

    def test_server_that_was_ended_in_a_handshake_is_there_again(self):
        self.refuse_key(1)
        self.opener().probe(self.address)

    def test_server_that_was_ended_in_a_handshake_is_away(self):
        self.refuse_key(1)
        self.server.stop()
        self.assertRaises(
            errors.SourceUnavailable, self.opener().probe, self.address
        )
        self.server.start()

    def test_key_that_is_refused_again(self):
        self.refuse_key(2)
        error = self.assertRaises(
            errors.AccessDenied, self.opener().probe, self.address
        )
        self.assertFalse(error.retryable)

    def test_wrong_size(self):
        for size in (SIZE - 512, 0, 1 << 62):
            self.server.size = size
            opener = self.opener()
            self.assertRaises(
                errors.SizeMismatch, opener.source, self.address, SIZE
            )
            self.assertRaises(
                errors.SizeMismatch, opener.target, self.address, SIZE, False
            )

    def test_bitmap_that_is_not_exported(self):
        error = self.assertRaises(
            errors.DifferenceUnavailable,
            self.opener().source,
            *(self.address, SIZE, test_nbd_source.DIRTY),
        )
        self.assertIn(test_nbd_source.DIRTY, str(error))

    def test_export_that_can_only_be_read(self):
        self.server.flags |= hostile_nbd.READ_ONLY
        self.assertRaises(errors.AccessDenied, self.target)

    def test_server_that_can_not_flush(self):
        self.server.flags &= ~hostile_nbd.SEND_FLUSH
        self.assertRaises(errors.AccessDenied, self.target)

    def test_server_of_a_target_is_away(self):
        self.server.stop()
        self.assertRaises(errors.TargetUnavailable, self.target)
        self.server.start()

    def test_new_volume_that_the_server_says_is_empty(self):
        self.assertFalse(self.target(True).truncated)
        for told, empty in (
            ([(SIZE, 3)], True),
            ([(SIZE - 512, 3), (512, 0)], False),
            ([(SIZE, 1)], False),
        ):
            self.server.contexts[nbd_extents.ALLOCATION] = (
                lambda offset, length, told=told: [told]
            )
            self.assertEqual(empty, self.target(True).truncated)
            self.assertFalse(self.target(False).truncated)

    def test_what_is_said_of_a_new_volume_is_wrong(self):
        self.server.contexts[nbd_extents.ALLOCATION] = lambda offset, length: [
            [(SIZE * 2, 3)]
        ]
        self.assertRaises(errors.ExtentsInvalid, self.target, True)


class PointInTimeTest(test_nbd_source.HostileTestCase):
    def setUp(self):
        super().setUp()
        self.server.flags |= hostile_nbd.READ_ONLY | hostile_nbd.MULTI

    def source(self):
        source = self.opener().source(self.address, SIZE, point_in_time=True)
        self.addCleanup(source.close)
        return source

    def test_it_is_read(self):
        self.assertEqual(test_nbd_source.CONTENT, self.read(self.source()))

    def test_server_that_comes_back_may_show_another(self):
        source = self.source()
        self.server.stop()
        self.server.start()
        for _ in range(5):
            self.assertRaises(errors.SourceUnavailable, self.read, source)

    def test_connection_that_was_lost_is_not_made_again(self):
        source = self.source()
        self.break_once('read', self.hang_up)
        self.assertRaises(errors.SourceUnavailable, self.read, source)

    def test_server_that_is_started_anew_while_it_is_opened(self):
        opener = self.opener()
        connect, made = opener._connection, []

        def connect_later(*arguments):
            made.append(connect(*arguments))
            if len(made) == 1:
                self.server.stop()
                self.server.start()
            return made[-1]

        self.useFixture(
            fixtures.MockPatchObject(opener, '_connection', connect_later)
        )
        self.assertRaises(
            errors.SourceUnavailable,
            opener.source,
            *(self.address, SIZE),
            point_in_time=True,
        )
        self.assertGreater(len(made), 1)

    def test_what_can_be_written_to_is_none(self):
        self.server.flags &= ~hostile_nbd.READ_ONLY
        error = self.assertRaises(errors.VolumeInUse, self.source)
        self.assertIn('read-only', str(error))
