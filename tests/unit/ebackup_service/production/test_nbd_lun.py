# SPDX-License-Identifier: Apache-2.0
import random

from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import nbd
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import nbd_servers

SIZE = 64 << 20
BLOCK = 1 << 16


class BitmapTest(base.BaseTestCase):
    """Bitmaps that somebody else makes, of a volume that nobody has open."""

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.server = self.useFixture(nbd_servers.QemuNbd(SIZE))

    def lun(self, **settings):
        uri = f'nbd+unix:///{{name}}?socket={self.server.socket}'
        storage = nbd.NbdStorage.from_conf(
            nbd_servers.configuration(self.server.directory),
            {'uri': uri, **settings},
            {},
        )
        return storage.find(
            contract.Reference(conformance.VOLUME_ID, name=nbd_servers.NAME)
        )

    def bitmap(self, name):
        """Count from now on; the server is down meanwhile."""
        self.server.stop()
        nbd_servers.qemu_img(
            *('bitmap', '--add', '-g', str(BLOCK)), self.server.image, name
        )
        self.serve()

    def serve(self, *arguments):
        self.server.arguments = arguments
        self.server.start()

    def changed(self, since, **settings):
        source = self.lun(**settings).open_source(
            SIZE, since=contract.Snapshot(since, 'of no account')
        )
        self.addCleanup(source.close)
        self.assertEqual(contract.ExtentKind.UNCHANGED, source.gaps)
        return {
            block
            for extent in source.extents()
            for block in range(
                extent.offset // BLOCK,
                (extent.offset + extent.length) // BLOCK,
            )
        }

    def test_exactly_what_was_written(self):
        chosen = random.Random(1).sample(range(SIZE // BLOCK), 160)
        self.bitmap('ebackup-an-image')
        guest = nbd_servers.client(self.server.socket)
        for block in chosen:
            guest.pwrite(b'x' * BLOCK, block * BLOCK)
        guest.shutdown()
        self.server.stop()
        self.serve('-r', '-B', 'ebackup-an-image')
        self.assertEqual({*chosen}, self.changed('an-image'))

    def test_name_of_the_bitmap_is_a_setting(self):
        self.bitmap('cp.5')
        self.server.stop()
        self.serve('-r', '-B', 'cp.5')
        self.assertEqual(set(), self.changed('5', bitmap='cp.{since}'))

    def test_bitmap_of_another_image(self):
        self.bitmap('ebackup-an-image')
        self.server.stop()
        self.serve('-r', '-B', 'ebackup-an-image')
        self.assertRaises(
            errors.DifferenceUnavailable, self.changed, 'another'
        )

    def test_takes_no_snapshots(self):
        lun = self.lun()
        snapshot = contract.Snapshot('an-id', 'a name')
        for call in (
            lambda: lun.take_snapshot('one'),
            lambda: lun.find_snapshot('one'),
            lambda: lun.drop_snapshot(snapshot),
            lambda: lun.reduce_to_anchor(snapshot),
        ):
            self.assertRaises(NotImplementedError, call)

    def test_snapshots_of_cinder_are_unknown(self):
        self.assertRaises(
            errors.SnapshotUnknown, self.lun().give, 'snapshot-1'
        )
