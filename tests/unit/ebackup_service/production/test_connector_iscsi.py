# SPDX-License-Identifier: Apache-2.0
from ebackup_service import conf as service_conf
from ebackup_service.production import base as production
from ebackup_service.production import connector
from ebackup_service.production import errors
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import iscsi_targets
from tests.unit.ebackup_service.production import nbd_servers


class IscsiTest(base.BaseTestCase):
    """Of a real target, which neither the kernel nor os-brick is asked for."""

    SIZE = 1 << 22

    def setUp(self):
        nbd_servers.need()
        super().setUp()
        self.target = self.useFixture(iscsi_targets.Tgtd(self.SIZE))
        self.conf = service_conf.new([])
        for name, value, group in (
            ('state_path', self.target.directory, None),
            ('iscsi_initiator', 'qemu', 'proxy'),
            ('socket_roots', [self.target.directory], 'nbd'),
            ('process_directory', f'{self.target.directory}/qemu', 'nbd'),
        ):
            self.conf.set_override(name, value, group)

    def lun(self, **properties):
        storage = connector.ConnectorStorage.from_conf(self.conf, {}, {})
        self.addCleanup(storage.close)
        attachment = {
            'kind': 'connector',
            'driver_volume_type': 'iscsi',
            'data': {
                **self.target.properties(),
                'target_discovered': False,
                'volume_id': conformance.VOLUME_ID,
                **properties,
            },
        }
        lun = storage.find(
            production.Reference(conformance.VOLUME_ID, attachment)
        )
        self.addCleanup(lun.close)
        return lun

    def test_is_written_and_read_by_qemu(self):
        target = self.lun().open_target(self.SIZE, False)
        target.write(4096, memoryview(b'content'.ljust(512)))
        target.flush()
        target.close()
        source = self.lun().open_source(self.SIZE)
        found = bytearray(512)
        source.read(4096, memoryview(found))
        source.close()
        self.assertEqual(b'content'.ljust(512), found)
        self.assertEqual(0, self.target.sessions())

    def test_what_is_no_lun_is_refused(self):
        self.assertRaises(errors.AttachmentInvalid, self.lun, target_iqn=None)
