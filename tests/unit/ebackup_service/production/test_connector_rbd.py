# SPDX-License-Identifier: Apache-2.0
import os
import tempfile
import uuid

import fixtures
from os_brick.initiator import connector as os_brick
from os_brick.initiator import linuxrbd

from ebackup_service.production import brick
from ebackup_service.production import connector
from ebackup_service.production import errors
from ebackup_service.production import rbd
from ebackup_service.production import records
from tests import ceph
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import rbd_case
from tests.unit.ebackup_service.production import test_connector


class RbdConformanceTest(
    test_connector.Detached,
    conformance.ConformanceTests,
    rbd_case.RbdTestCase,
):
    """By os-brick's own connector ``rbd``, on a real Ceph."""

    UNKNOWN = errors.SourceUnavailable
    OTHER_SIZES = (rbd_case.GIB + conformance.ConformanceTests.SIZE,)

    def most_memory(self):
        return rbd.RbdStorage.MEMORY

    def make_volume(self):
        # Where Ceph's modules are was not known when os-brick looked.
        import rados

        for name, module in (('rados', rados), ('rbd', self.library)):
            self.useFixture(
                fixtures.MonkeyPatch(f'{linuxrbd.__name__}.{name}', module)
            )
        self.name = f'volume-{uuid.uuid4()}'
        self.ioctx = self.ceph.ioctx()
        self.addCleanup(self.ioctx.close)
        self.create(self.SIZE)
        self.kept = self.useFixture(fixtures.TempDir()).path
        return connector.ConnectorStorage(
            lambda: brick.Library(os_brick, 60),
            records.Records(self.kept),
            [],
            False,
        )

    def connection(self, name):
        address, _, port = self.ceph.mon_host.strip('[]').rpartition(':')
        return conformance.base.Reference(
            conformance.VOLUME_ID,
            {
                'driver_volume_type': 'rbd',
                'data': {
                    'name': f'{ceph.POOL}/{name}',
                    'hosts': [address],
                    'ports': [port],
                    'cluster_name': 'ceph',
                    'auth_enabled': True,
                    'auth_username': 'ebackup',
                    'keyring': f'[client.ebackup]\nkey = {self.key()}',
                },
            },
        )

    def key(self):
        return self.ceph.key('ebackup')

    def reference(self):
        return self.connection(self.name)

    def missing(self):
        return self.connection('volume-that-is-not-there')

    def fill(self, content):
        with self.library.Image(self.ioctx, self.name) as image:
            image.write(bytes(content), 0)

    def content(self):
        with self.library.Image(self.ioctx, self.name) as image:
            return image.read(0, self.SIZE)

    def test_key_is_not_written_down(self):
        # Where os-brick makes a configuration for librados.
        self.useFixture(fixtures.NestedTempfile())
        lun = self.lun()
        self.assertEqual([], os.listdir(tempfile.gettempdir()))
        (name,) = os.listdir(self.kept)
        with open(os.path.join(self.kept, name)) as file:
            content = file.read()
        self.assertIn(self.name, content)
        self.assertNotIn(self.key(), content)
        lun.close()
        lun.close()
        self.assertEqual([], os.listdir(self.kept))

    def test_image_with_a_header_besides_is_read_and_written_whole(self):
        content = conformance.noise(self.SIZE)
        self.fill(content)
        size = self.SIZE - 16 * conformance.PAGE

        for opener in self.openers():
            volume = opener(size=size)
            self.assertEqual(self.SIZE, volume.size)
            self.assertEqual(content, self.read(volume, 0, self.SIZE))
            volume.close()
