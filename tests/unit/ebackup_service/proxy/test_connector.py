# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service import conf as service_conf
from ebackup_service.production import brick
from ebackup_service.production import errors
from ebackup_service.production import iscsi
from ebackup_service.production import records
from ebackup_service.proxy import connector
from tests import base
from tests.unit.ebackup_service.production import played_brick


class TestReady(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new([])
        self.conf.set_override(
            'state_path', self.useFixture(fixtures.TempDir()).path
        )
        self.conf.set_override('iscsi_initiator', 'kernel', 'proxy')
        self.conf.set_override('privsep_helper', 'x', 'proxy')
        self.connector = played_brick.Connector()
        self.module = played_brick.Module(self.connector)
        self.useFixture(
            fixtures.MonkeyPatch(f'{brick.__name__}.load', self.load)
        )
        self.log = self.useFixture(fixtures.FakeLogger())

    def load(self, conf):
        return brick.Library(self.module, 60)

    def test_host_is_known_by_what_os_brick_says(self):
        self.assertEqual('iqn.1', connector.ready(self.conf)['initiator'])

    def test_initiator_of_qemu_has_a_name_of_its_own(self):
        self.conf.set_override('iscsi_initiator', 'qemu', 'proxy')
        self.conf.set_override('host', 'Proxy_1.example', 'proxy')
        self.assertEqual(
            'iqn.2026-11.org.openstack.ebackup:proxy-1.example',
            connector.ready(self.conf)['initiator'],
        )

    def test_what_was_left_is_detached_first(self):
        record = records.of(self.conf).begin(
            {'protocol': 'p', 'multipath': False, 'data': {'target': 't'}}
        )
        record.leave()
        self.connector.connected = ['t']
        self.assertIsNotNone(connector.ready(self.conf))
        self.assertEqual([], self.connector.connected)

    def test_os_brick_does_not_work_here(self):
        self.module.properties = OSError('no')
        self.assertIsNone(connector.ready(self.conf))
        self.assertIn('privsep_helper', self.log.output)

    def test_os_brick_is_not_here(self):
        self.useFixture(
            fixtures.MonkeyPatch(f'{brick.__name__}.load', missing)
        )
        self.assertIsNone(connector.ready(self.conf))
        self.assertIn('not here', self.log.output)


class TestWithoutHelper(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new([])
        self.conf.set_override('host', 'Proxy_1.example', 'proxy')
        self.log = self.useFixture(fixtures.FakeLogger())

    def choose(self, chosen):
        self.conf.set_override('iscsi_initiator', chosen, 'proxy')

    def installed(self, check):
        self.useFixture(
            fixtures.MonkeyPatch(f'{iscsi.__name__}.check_installed', check)
        )

    def test_kind_is_wanted_only_where_that_is_configured(self):
        self.assertFalse(connector.is_wanted(self.conf))
        self.choose('qemu')
        self.assertTrue(connector.is_wanted(self.conf))

    def test_qemu_reaches_iscsi_without_os_brick(self):
        self.installed(lambda: None)
        self.useFixture(
            fixtures.MonkeyPatch(f'{brick.__name__}.load', missing)
        )
        self.choose('qemu')
        found = connector.ready(self.conf)
        self.assertEqual('Proxy_1.example', found['host'])
        self.assertEqual(
            'iqn.2026-11.org.openstack.ebackup:proxy-1.example',
            found['initiator'],
        )
        self.assertFalse(found['multipath'])

    def test_qemu_is_not_here(self):
        self.installed(missing)
        self.choose('qemu')
        self.assertIsNone(connector.ready(self.conf))
        self.assertIn('not here', self.log.output)

    def test_kernel_needs_the_helper(self):
        self.choose('kernel')
        self.assertTrue(connector.is_wanted(self.conf))
        self.assertIsNone(connector.ready(self.conf))
        self.assertIn('privsep_helper', self.log.output)


def missing(*arguments):
    raise errors.NotInstalled('not here')
