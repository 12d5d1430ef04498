# SPDX-License-Identifier: Apache-2.0
"""A volume of an NBD server: of its changes, or an instant of it, it knows."""

import random
import threading

import fixtures

from ebackup_service.engine import control
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import restore
from ebackup_service.repository import page
from ebackup_service.server import images
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import nbd_servers
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK
SIZE = 40 * CHUNK
BACKEND = 'node@files'


class NbdTestCase(base.BaseTestCase):
    size = SIZE

    def server_fixture(self):
        raise NotImplementedError

    def settings(self):
        return {'uri': f'nbd+unix:///{{name}}?socket={self.server.socket}'}

    def setUp(self):
        super().setUp()
        nbd_servers.need()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.create_repository()
        self.server = self.useFixture(self.server_fixture())
        conf = self.fixture.conf
        conf.set_override('socket_roots', [self.server.directory], 'nbd')
        storages.create(
            self.fixture.catalog,
            conf,
            'files',
            'nbd',
            backends=[BACKEND],
            settings=self.settings(),
        )
        self.volume_id = catalog_fixture.new_id()
        self.random = random.Random(1)
        self.content = bytearray(self.random.randbytes(self.size))
        nbd_servers.fill(self.server.socket, bytes(self.content))

    def volume(self, **more):
        return {'host': BACKEND, 'backend_name': nbd_servers.NAME, **more}

    def reserve(self, **volume):
        _, job = self.fixture.reserve(
            size=self.size,
            volume_id=self.volume_id,
            volume=self.volume(**volume),
        )
        return job

    def task(self, job):
        self.fixture.announce(production=['attached', 'nbd'])
        return self.fixture.task(self.fixture.assign()[job.id])

    def back_up(self, **volume):
        """The image, and the result of its job."""
        return self.finish(self.task(self.reserve(**volume)))

    def finish(self, task):
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        return images.show(self.fixture.catalog, task.image.id), result

    def restored(self, image):
        path = self.fixture.write_volume(bytes(self.size), 'target')
        restore.run(self.fixture.restore_task(image, path))
        with open(path, 'rb') as volume:
            return volume.read()

    def change(self, chunk):
        place = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        self.content[place] = self.random.randbytes(CHUNK)
        handle = nbd_servers.client(self.server.socket)
        handle.pwrite(bytes(self.content[place]), chunk * CHUNK)
        handle.flush()
        handle.shutdown()


class BitmapTest(NbdTestCase):
    def server_fixture(self):
        return nbd_servers.QemuNbd(self.size)

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

    def back_up_snapshot(self):
        """The same of one of Cinder's, with what the volume holds now."""
        snapshot = {'id': catalog_fixture.new_id(), 'name': 's', 'size': SIZE}
        _, job = self.fixture.reserve(
            size=SIZE,
            volume_id=self.volume_id,
            snapshot_id=snapshot['id'],
            volume=self.volume(snapshot=snapshot),
            record={'snapshot_id': snapshot['id']},
        )
        path = self.fixture.write_volume(self.content, 'snapshot')
        self.fixture.attach(job.id, path)
        return self.finish(self.task(job))

    def test_snapshot_of_cinder_is_read_where_it_is_attached(self):
        self.back_up()
        self.change(3)
        image, result = self.back_up_snapshot()
        self.assertEqual(('incremental', 'compared'), _how(result))
        self.assertEqual(1, result['chunks_stored'])
        self.assertEqual(self.content, self.restored(image))
        # What has changed since is no other than without it.
        self.change(17)
        last, result = self.back_up()
        self.assertEqual(('incremental', 'compared'), _how(result))
        self.assertEqual(1, result['chunks_stored'])
        self.assertEqual(self.content, self.restored(last))

    def test_bitmap_that_began_after_a_snapshot_is_not_believed(self):
        self.back_up()
        image, _ = self.back_up_snapshot()
        self.change(17)
        # As after each backup, but the volume is not what the image is.
        self.remember(image.id)
        self.change(30)
        self.offer(image.id)
        last, result = self.back_up()
        self.assertEqual(('incremental', 'compared'), _how(result))
        self.assertIn('of a snapshot', result['changes_reason'])
        self.assertEqual(self.content, self.restored(last))

    def test_volume_in_use_is_not_read(self):
        task = self.task(self.reserve(in_use=True))
        self.assertRaises(production_errors.VolumeInUse, backup.run, task)


class Writer:
    """A guest that overwrites its volume, over and over, until it is left."""

    def __init__(self, path, size):
        self._path = path
        self._size = size
        self._over = threading.Event()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self):
        """All has been overwritten once."""
        self._thread.start()
        assert self._enough.wait(nbd_servers.SECONDS), 'nothing is written'

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _write(self):
        handle = nbd_servers.client(self._path)
        round_ = 0
        while not self._over.is_set():
            round_ += 1
            for offset in range(0, self._size, CHUNK):
                handle.pwrite(bytes([round_ % 256]) * CHUNK, offset)
            handle.flush()
            self._enough.set()
        handle.shutdown()


class PointInTimeTestCase(NbdTestCase):
    def server_fixture(self):
        return nbd_servers.PullMode(self.size)

    def settings(self):
        socket = self.server.socket
        return {
            'uri': f'nbd+unix:///instant-{{name}}?socket={socket}',
            'point_in_time': True,
        }


class PointInTimeTest(PointInTimeTestCase):
    """A guest writes to its volume all the time."""

    def test_what_it_held_at_that_instant_is_read(self):
        self.server.begin('first')
        instant = bytes(self.content)
        with Writer(self.server.socket, SIZE):
            image, result = self.back_up(in_use=True)
        self.assertEqual('full', result['kind'])
        self.assertEqual(instant, self.restored(image))
        self.assertNotEqual(instant, nbd_servers.content(self.server.socket))

    def test_only_what_changed_until_the_next_one_is_read(self):
        self.server.begin('first')
        self.change(3)
        image, _ = self.back_up(in_use=True)
        self.change(17)
        self.server.end()
        self.change(30)
        self.server.begin('second', 'first', f'ebackup-{image.id}')
        instant = bytes(self.content)
        with Writer(self.server.socket, SIZE):
            second, result = self.back_up(in_use=True)
        self.assertEqual(('incremental', 'named'), _how(result))
        self.assertEqual(3 * CHUNK, result['bytes_read'])
        self.assertEqual(instant, self.restored(second))

    def test_nothing_is_restored_to_it(self):
        self.server.begin('first')
        image, _ = self.back_up(in_use=True)
        self.server.end()
        job = self.fixture.restore(image, volume=self.volume())
        error = self.assertRaises(
            production_errors.AccessDenied, restore.run, self.task(job)
        )
        self.assertIn('can only be read', str(error))


class PointsInTimeTest(PointInTimeTestCase):
    """Of a volume that is large enough for a checkpoint."""

    size = (2 * page.FANOUT + 8) * CHUNK

    def stop(self, task):
        """Let a job go once it has told of a checkpoint."""
        tell = self.fixture.server.checkpoint

        def told(*arguments):
            task.control.cancel('enough')
            return tell(*arguments)

        with fixtures.MockPatchObject(self.fixture.server, 'checkpoint', told):
            self.assertRaises(control.JobStopped, backup.run, task)
        self.assertTrue(self.fixture.job(task.spec.id).checkpoint['tree'])
        self.fixture.finish(task.spec, 'returned')

    def test_run_that_finds_another_one_begins_from_the_start(self):
        self.fixture.conf.set_override('checkpoint_size', 16 << 20, 'proxy')
        self.server.begin('first')
        job = self.reserve(in_use=True)
        self.stop(self.task(job))
        self.server.end()
        for chunk in (0, 2 * page.FANOUT + 1):
            self.change(chunk)
        self.server.begin('second')
        instant = bytes(self.content)
        self.change(3)
        image, result = self.finish(self.task(job))
        self.assertEqual(instant, self.restored(image))
        self.assertEqual(self.size, result['bytes_read'])
        self.assertGreaterEqual(result['bytes_reread'], page.FANOUT * CHUNK)


def _how(result):
    return result['kind'], result['changes']
