# SPDX-License-Identifier: Apache-2.0
import os
import pathlib

import fixtures

from ebackup_service import conf as service_conf
from ebackup_service.production import initiator
from tests import base


class InitiatorTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new([])
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.loaded = self.directory / 'iscsi_transport'
        self.listing = self.directory / os.uname().release / 'modules.dep'
        self.listing.parent.mkdir()
        for name, value in (
            ('_CLASS', str(self.loaded)),
            ('_MODULES', str(self.directory)),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(f'{initiator.__name__}.{name}', value)
            )

    def choose(self, whose):
        self.conf.set_override('iscsi_initiator', whose, 'proxy')

    def test_kernel_has_none(self):
        self.assertTrue(initiator.is_qemu(self.conf))
        self.listing.write_text('kernel/drivers/scsi/sd_mod.ko.xz:\n')
        self.assertTrue(initiator.is_qemu(self.conf))

    def test_kernel_has_one(self):
        self.listing.write_text(
            'kernel/drivers/scsi/sd_mod.ko.xz:\n'
            'kernel/drivers/scsi/iscsi_tcp.ko.xz: kernel/x.ko.xz\n'
        )
        self.assertFalse(initiator.is_qemu(self.conf))

    def test_kernel_has_one_loaded(self):
        self.loaded.mkdir()
        self.assertFalse(initiator.is_qemu(self.conf))

    def test_operator_chooses(self):
        self.choose('kernel')
        self.assertFalse(initiator.is_qemu(self.conf))
        self.loaded.mkdir()
        self.choose('qemu')
        self.assertTrue(initiator.is_qemu(self.conf))

    def test_name_is_one_that_iscsi_allows(self):
        self.conf.set_override('host', 'Node_1.example', 'proxy')
        self.assertEqual(
            'iqn.2026-11.org.openstack.ebackup:node-1.example',
            initiator.name(self.conf),
        )
