# SPDX-License-Identifier: Apache-2.0
import contextlib

import jsonschema

from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import nbd
from ebackup_service.production import registry
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import conformance_snapshots
from tests.unit.ebackup_service.production import nbd_servers


class NbdTestCase(conformance.DifferenceTests, conformance.ConformanceTests):
    """Mixed into test cases with a server."""

    def server_fixture(self) -> nbd_servers.Server:
        raise NotImplementedError

    def setUp(self):
        nbd_servers.need()
        super().setUp()

    def make_volume(self):
        self.server = self.useFixture(self.server_fixture())
        self.directory = self.server.directory
        conf = nbd_servers.configuration(self.directory)
        return nbd.NbdStorage.from_conf(conf, self.settings(), {})

    def settings(self):
        return {'uri': f'nbd+unix:///{{name}}?socket={self.server.socket}'}

    def reference(self):
        return contract.Reference(conformance.VOLUME_ID, name=nbd_servers.NAME)

    def places(self):
        return [self.directory, nbd_servers.NAME, 'nbd+unix:']

    def missing(self):
        return contract.Reference(conformance.VOLUME_ID, name='volume-other')

    def fill(self, content):
        nbd_servers.fill(self.server.socket, content)

    def content(self):
        return nbd_servers.content(self.server.socket)


class QemuNbdTest(NbdTestCase, base.BaseTestCase):
    def server_fixture(self):
        return nbd_servers.QemuNbd(self.SIZE)

    def test_holes_are_named(self):
        guest = nbd_servers.client(self.server.socket)
        guest.pwrite(b'x', 5)
        guest.pwrite(b'x' * 70000, 2 << 20)
        data = contract.ExtentKind.DATA
        self.assertEqual(
            [
                contract.Extent(0, 1 << 16, data),
                contract.Extent(2 << 20, 2 << 16, data),
            ],
            list(self.source().extents()),
        )

    def test_new_empty_volume_is_truncated(self):
        self.assertTrue(self.target(volume_is_new=True).truncated)
        self.fill(self.sparse())
        self.assertFalse(self.target(volume_is_new=True).truncated)


class RawQemuNbdTest(NbdTestCase, base.BaseTestCase):
    """With blocks of 512 bytes, which the server insists on."""

    def server_fixture(self):
        return nbd_servers.QemuNbd(self.SIZE, '--cache=none', form='raw')


class StorageDaemonTest(
    conformance_snapshots.SnapshotTests,
    conformance_snapshots.ChangedTests,
    NbdTestCase,
    base.BaseTestCase,
):
    KEYS_DIFFER = False

    def server_fixture(self):
        return nbd_servers.StorageDaemon(self.SIZE)

    def settings(self):
        return super().settings() | {
            'qmp_socket': self.server.monitor,
            'qmp_file': f'{self.directory}/{{name}}',
        }

    def of_snapshot(self, name):
        self.lun().take_snapshot(name)
        return contract.Reference(
            conformance.VOLUME_ID,
            name=nbd_servers.NAME,
            snapshot=contract.CinderSnapshot('an-id', name),
        )

    def recreate(self):
        self.server.stop()
        self.server.make()
        self.server.start()


class StorageDaemonRawTest(StorageDaemonTest):
    """An image that can't keep bitmaps when the process ends."""

    def server_fixture(self):
        return nbd_servers.StorageDaemon(self.SIZE, 'raw')


class SettingsTest(base.BaseTestCase):
    URI = 'nbd://storage.example/{name}'

    def valid(self, settings, credentials=None):
        for schema, value in (
            (nbd.NbdStorage.SETTINGS, settings),
            (nbd.NbdStorage.CREDENTIALS, credentials or {}),
        ):
            jsonschema.Draft202012Validator.check_schema(schema)
            if not jsonschema.Draft202012Validator(schema).is_valid(value):
                return False
        return True

    def test_settings(self):
        qmp = {
            'uri': self.URI,
            'qmp_socket': '/run/{name}.sock',
            'qmp_file': '/volumes/{name}',
        }
        for settings, expected in (
            ({'uri': self.URI}, True),
            ({'uri': self.URI, 'bitmap': 'cp-{since}'}, True),
            (qmp, True),
            (qmp | {'qmp_socket': '/run/q'}, True),
            ({}, False),
            ({'uri': 'nbd://storage.example/volume'}, False),
            ({'uri': self.URI, 'bitmap': 'cp'}, False),
            ({'uri': self.URI, 'bitmap': 'cp-{since}\n'}, False),
            ({'uri': self.URI, 'qmp_file': '/volumes/{name}'}, False),
            (qmp | {'qmp_file': '/volumes/x'}, False),
            (qmp | {'qmp_socket': 'relative'}, False),
            ({'uri': self.URI, 'other': 1}, False),
            ({'uri': self.URI, 'point_in_time': True}, True),
            ({'uri': self.URI, 'point_in_time': 'true'}, False),
            (qmp | {'point_in_time': False}, True),
            (qmp | {'point_in_time': True}, False),
        ):
            self.assertEqual(expected, self.valid(settings), settings)

    def test_credentials(self):
        key = '0123456789abcdef' * 2
        for credentials, expected in (
            ({}, True),
            ({'psk_identity': 'backup', 'psk_key': key}, True),
            ({'psk_identity': 'backup'}, False),
            ({'psk_key': key}, False),
            ({'psk_identity': 'backup', 'psk_key': 'secret'}, False),
            ({'psk_identity': 'a:b', 'psk_key': key}, False),
            ({'psk_identity': 'a\n', 'psk_key': key}, False),
        ):
            self.assertEqual(
                expected, self.valid({'uri': self.URI}, credentials)
            )

    def test_settings_that_no_schema_has_seen(self):
        nbd_servers.need()
        for settings in (
            {'uri': 'nbd://storage.example/volume'},
            {'uri': self.URI, 'bitmap': 'cp'},
        ):
            self.assertRaises(
                errors.SettingsInvalid,
                nbd.NbdStorage.from_conf,
                *(nbd_servers.configuration('/'), settings, {}),
            )

    def test_is_found_by_its_name(self):
        self.assertIs(nbd.NbdStorage, registry.storage_class('nbd'))

    def test_what_it_can_do(self):
        nbd_servers.need()
        conf = nbd_servers.configuration('/')
        plain = nbd.NbdStorage.from_conf(conf, {'uri': self.URI}, {})
        qmp = {'qmp_socket': '/q', 'qmp_file': '/volumes/{name}'}
        other = nbd.NbdStorage.from_conf(conf, {'uri': self.URI, **qmp}, {})
        self.assertEqual(
            (False, True),
            (plain.capabilities.snapshots, other.capabilities.snapshots),
        )
        self.assertTrue(plain.capabilities.changed_extents)
        instant = nbd.NbdStorage.from_conf(
            conf, {'uri': self.URI, 'point_in_time': True}, {}
        )
        self.assertEqual(
            (False, True, False),
            tuple(
                storage.capabilities.point_in_time
                for storage in (plain, instant, other)
            ),
        )


class PointInTimeTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.server = self.useFixture(nbd_servers.PullMode(1 << 20))

    def lun(self, export):
        storage = nbd.NbdStorage.from_conf(
            nbd_servers.configuration(self.server.directory),
            {
                'uri': f'nbd+unix:///{export}?socket={self.server.socket}',
                'point_in_time': True,
            },
            {},
        )
        reference = contract.Reference('an-id', name=nbd_servers.NAME)
        return storage.find(reference)

    def test_it_ends_with_its_export(self):
        self.server.begin('first')
        lun = self.lun('instant-{name}')
        with contextlib.closing(lun.open_source(1 << 20)) as source:
            self.server.end()
            self.server.begin('second')
            self.assertRaises(
                errors.SourceUnavailable,
                conformance.read,
                *(source, 0, memoryview(bytearray(512))),
            )

    def test_export_that_can_be_written_to_is_none(self):
        lun = self.lun('{name}')
        for since in (None, contract.Snapshot('an-image', 'an-image')):
            self.assertRaises(
                errors.VolumeInUse, lun.open_source, 1 << 20, None, since
            )


class SocketTest(base.BaseTestCase):
    def test_only_below_the_roots(self):
        nbd_servers.need()
        server = self.useFixture(nbd_servers.StorageDaemon(1 << 20))
        reference = contract.Reference('an-id', name=nbd_servers.NAME)
        uri = f'nbd+unix:///{{name}}?socket={server.socket}'
        qmp = {
            'qmp_socket': server.monitor,
            'qmp_file': '/volumes/{name}',
        }
        for settings in (
            {'uri': uri},
            {'uri': uri, **qmp},
        ):
            storage = nbd.NbdStorage.from_conf(
                nbd_servers.configuration('/elsewhere'), settings, {}
            )
            self.assertRaises(errors.PathForbidden, storage.find, reference)
