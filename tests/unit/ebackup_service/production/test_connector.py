# SPDX-License-Identifier: Apache-2.0
import os
import threading

import fixtures
from os_brick.initiator import connector as os_brick

from ebackup_service import conf as service_conf
from ebackup_service.production import base as production
from ebackup_service.production import brick
from ebackup_service.production import connector
from ebackup_service.production import errors
from ebackup_service.production import records
from tests import base
from tests.unit.ebackup_service.production import brick_fixture
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import loops
from tests.unit.ebackup_service.production import played_brick


class Together:
    """What was opened of a volume, and the LUN that it was opened of."""

    def __init__(self, opened, lun):
        self._opened = opened
        self._lun = lun

    def __getattr__(self, name):
        return getattr(self._opened, name)

    def close(self):
        self._opened.close()
        self._lun.close()


class Detached:
    """A volume is attached for as long as its LUN is open: both are closed."""

    def source(self, reference=None, size=None, snapshot=None, since=None):
        return self._opened(
            reference,
            lambda lun: lun.open_source(size or self.SIZE, snapshot, since),
        )

    def target(self, reference=None, size=None, volume_is_new=False):
        return self._opened(
            reference,
            lambda lun: lun.open_target(size or self.SIZE, volume_is_new),
        )

    def _opened(self, reference, open_it):
        lun = self.lun(reference)
        try:
            opened = Together(open_it(lun), lun)
        except BaseException:
            lun.close()
            raise
        self.addCleanup(opened.close)
        return opened


class ConnectorTests(
    Detached, conformance.AttachmentTests, conformance.ConformanceTests
):
    """By os-brick's own connector ``local``, of the volume at self.path."""

    def attachment(self):
        return self.connection(self.path)

    def connection(self, path):
        return {
            'kind': 'connector',
            'driver_volume_type': 'local',
            'data': {
                'device_path': path,
                'auth_password': played_brick.SECRET,
            },
        }

    def missing(self):
        return self.attached(self.connection(f'{self.path}-other'))

    def content(self):
        with open(self.path, 'rb') as file:
            return file.read()

    def storage_at(self, root):
        self.kept = self.useFixture(fixtures.TempDir()).path
        return connector.ConnectorStorage(
            lambda: brick.Library(os_brick, 60),
            records.Records(self.kept),
            [root],
            False,
        )

    def test_it_is_recorded_while_it_is_attached(self):
        lun = self.lun()
        (name,) = os.listdir(self.kept)
        with open(os.path.join(self.kept, name)) as file:
            content = file.read()
        self.assertIn(self.path, content)
        self.assertNotIn(played_brick.SECRET, content)
        lun.close()
        lun.close()
        self.assertEqual([], os.listdir(self.kept))

    def test_refused_leaves_nothing_attached(self):
        reference = self.attached(self.connection('/etc/passwd'))
        self.assertRaises(errors.PathForbidden, self.storage.find, reference)
        self.assertEqual([], os.listdir(self.kept))


class DeviceConformanceTest(
    conformance.ExclusiveTests, ConnectorTests, base.BaseTestCase
):
    def make_volume(self):
        self.path = self.useFixture(loops.LoopDevice(self.SIZE)).path
        return self.storage_at('/dev')

    def fill(self, content):
        with open(self.path, 'r+b') as file:
            file.write(content)


class FileConformanceTest(ConnectorTests, base.BaseTestCase):
    def make_volume(self):
        root = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(root, 'volume')
        self.fill(bytes(self.SIZE))
        return self.storage_at(root)

    def fill(self, content):
        with open(self.path, 'wb') as file:
            file.write(content)


class Stop(Exception):
    pass


class ConnectorStorageTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.kept = self.useFixture(fixtures.TempDir()).path
        self.connector = played_brick.Connector('/dev/null')
        self.module = played_brick.Module(self.connector)

    def find(self, check=production.no_check, multipath=False):
        storage = connector.ConnectorStorage(
            lambda: brick.Library(self.module, 60),
            records.Records(self.kept),
            ['/dev'],
            multipath,
            check,
        )
        attachment = {
            'driver_volume_type': 'iscsi',
            'data': {'target': 't', 'auth_password': played_brick.SECRET},
        }
        return storage.find(
            production.Reference(conformance.VOLUME_ID, attachment)
        )

    def test_what_is_no_volume_is_detached_again(self):
        self.assertRaises(errors.PathForbidden, self.find)
        self.assertEqual([], self.connector.connected)

    def test_job_is_stopped_while_os_brick_hangs(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.connector.while_connecting = go_on.wait

        def check():
            raise Stop

        self.assertRaises(Stop, self.find, check)

    def test_job_that_was_stopped_meanwhile_leaves_nothing_attached(self):
        def check():
            raise Stop

        self.assertRaises(Stop, self.find, check)
        self.assertEqual([], self.connector.connected)
        self.assertEqual([], os.listdir(self.kept))

    def test_setting_reaches_os_brick(self):
        self.assertRaises(errors.PathForbidden, self.find, multipath=True)
        self.assertTrue(self.module.asked[0][1]['use_multipath'])

    def test_without_helper_no_other_protocol_is_served(self):
        conf = service_conf.new([])
        conf.set_override('iscsi_initiator', 'qemu', 'proxy')
        storage = connector.ConnectorStorage.from_conf(conf, {}, {})
        attachment = {
            'driver_volume_type': 'local',
            'data': {'device_path': '/dev/null'},
        }
        reference = production.Reference(conformance.VOLUME_ID, attachment)
        error = self.assertRaises(errors.NotInstalled, storage.find, reference)
        self.assertIn('[proxy] privsep_helper', str(error))

    def test_from_conf(self):
        conf = service_conf.new([])
        root = self.useFixture(fixtures.TempDir()).path
        conf.set_override('state_path', root)
        conf.set_override('privsep_helper', 'none', 'proxy')
        self.useFixture(brick_fixture.GlobalOptions())
        storage = connector.ConnectorStorage.from_conf(conf, {}, {})
        attachment = {
            'driver_volume_type': 'local',
            'data': {'device_path': '/dev/null'},
        }
        reference = production.Reference(conformance.VOLUME_ID, attachment)
        self.assertRaises(errors.PathForbidden, storage.find, reference)
        self.assertEqual([], os.listdir(os.path.join(root, 'attached')))
        storage.close()
