# SPDX-License-Identifier: Apache-2.0
"""A volume of which an NBD server knows what changed since an image."""

import random

from ebackup_service.proxy import backup
from ebackup_service.proxy import restore
from ebackup_service.server import images
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import nbd_servers
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK
SIZE = 40 * CHUNK
BACKEND = 'node@files'


class BitmapTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.create_repository()
        self.server = self.useFixture(nbd_servers.QemuNbd(SIZE))
        conf = self.fixture.conf
        conf.set_override('socket_roots', [self.server.directory], 'nbd')
        storages.create(
            self.fixture.catalog,
            conf,
            'files',
            'nbd',
            backends=[BACKEND],
            settings={
                'uri': f'nbd+unix:///{{name}}?socket={self.server.socket}'
            },
        )
        self.volume_id = catalog_fixture.new_id()
        self.random = random.Random(1)
        self.content = bytearray(self.random.randbytes(SIZE))
        nbd_servers.fill(self.server.socket, bytes(self.content))

    def back_up(self):
        """The image, and the result of its job."""
        _, job = self.fixture.reserve(
            size=SIZE,
            volume_id=self.volume_id,
            volume={'host': BACKEND, 'backend_name': nbd_servers.NAME},
        )
        self.fixture.announce(production=['nbd'])
        task = self.fixture.task(self.fixture.assign()[job.id])
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        return images.show(self.fixture.catalog, task.image.id), result

    def restored(self, image):
        path = self.fixture.write_volume(bytes(SIZE), 'target')
        restore.run(self.fixture.restore_task(image, path))
        with open(path, 'rb') as volume:
            return volume.read()

    def remember(self, image_id):
        """Let the server note what changes from now on."""
        name = f'ebackup-{image_id}'
        self.server.stop()
        nbd_servers.qemu_img('bitmap', '--add', self.server.image, name)
        self.server.start()

    def offer(self, image_id):
        self.server.stop()
        self.server.arguments = ('-r', '-B', f'ebackup-{image_id}')
        self.server.start()

    def change(self, chunk):
        place = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        self.content[place] = self.random.randbytes(CHUNK)
        handle = nbd_servers.client(self.server.socket)
        handle.pwrite(bytes(self.content[place]), chunk * CHUNK)
        handle.flush()
        handle.shutdown()

    def test_only_that_is_read(self):
        image, _ = self.back_up()
        self.remember(image.id)
        self.change(3)
        self.change(17)
        self.offer(image.id)
        second, result = self.back_up()
        self.assertEqual(('incremental', 'named'), _how(result))
        self.assertEqual(2 * CHUNK, result['bytes_read'])
        self.assertEqual(self.content, self.restored(second))

    def test_without_one_all_is_compared(self):
        self.back_up()
        self.change(3)
        second, result = self.back_up()
        self.assertEqual(('incremental', 'compared'), _how(result))
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertEqual(1, result['chunks_stored'])
        self.assertEqual(self.content, self.restored(second))


def _how(result):
    return result['kind'], result['changes']
