# SPDX-License-Identifier: Apache-2.0
import contextlib
import subprocess
import sys
import textwrap
import time

from ebackup_service.production import errors
from tests import ceph
from tests.unit.ebackup_service.production import rbd_case

MIB = rbd_case.MIB
SIZE = 8 * MIB

# Another client, such as a virtual machine: it has an image open, writes to
# it at each line that it reads, and says so.
_CLIENT = textwrap.dedent("""
    import sys
    sys.path[:0] = [{directory!r}]
    from tests import debian
    debian.need('python3-rados', 'rados')
    debian.need('python3-rbd', 'rbd')
    import rados
    import rbd
    cluster = rados.Rados(conffile={conf!r}, conf={{'rbd_cache': 'false'}})
    cluster.connect()
    image = rbd.Image(cluster.open_ioctx({pool!r}), {name!r})
    print('open', flush=True)
    for line in sys.stdin:
        try:
            image.write(b'theirs', 0)
            print('written', flush=True)
        except rbd.Error as error:
            print(error, flush=True)
    image.close()
    cluster.shutdown()
""")


class LockTestCase(rbd_case.RbdTestCase):
    features = rbd_case.FEATURES

    def setUp(self):
        super().setUp()
        self.create(SIZE, features=self.features)
        self.volume = self.lun()

    def client(self):
        """One that has the image open."""
        program = _CLIENT.format(
            directory=sys.path[0],
            conf=str(self.ceph.conf),
            pool=ceph.POOL,
            name=self.name,
        )
        client = subprocess.Popen(
            [sys.executable, '-c', program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, client)
        self.assertEqual('open\n', client.stdout.readline())
        return client

    def end(self, client):
        client.stdin.close()
        client.wait()
        client.stdout.close()

    def write(self, client):
        client.stdin.write('\n')
        client.stdin.flush()
        return client.stdout.readline().strip()

    def busy(self, volume=None):
        error = self.assertRaises(
            errors.VolumeBusy,
            (volume or self.volume).open_target,
            *(SIZE, False),
        )
        self.assertTrue(error.retryable)
        return str(error)


class ExclusiveLockTest(LockTestCase):
    def test_client_that_writes_keeps_the_image(self):
        client = self.client()
        self.assertEqual('written', self.write(client))
        with self.image() as image:
            [locker] = image.list_lockers()['lockers']
        self.assertIn(f'{locker[0]} at {locker[2]}', self.busy())
        self.assertEqual('written', self.write(client))
        with self.image() as image:
            self.assertEqual(locker, image.list_lockers()['lockers'][0])

    def test_client_that_only_has_it_open_is_no_obstacle(self):
        """As cinder-backup has during a restore; it gets no lock meanwhile."""
        client = self.client()
        target = self.target(self.volume, SIZE)
        self.assertNotEqual('written', self.write(client))
        target.write(0, memoryview(b'ours'))
        target.close()
        self.assertEqual('written', self.write(client))

    def test_client_that_was_killed_is_waited_for_and_locked_out(self):
        client = self.client()
        self.write(client)
        client.kill()
        client.wait()
        self.busy()
        volume = self.lun(lock_timeout=60)
        target = self.target(volume, SIZE)
        target.write(0, memoryview(b'ours'))
        target.flush()
        self.assertEqual(b'ours', rbd_case.read(target, 0, 4))

    def test_one_target_at_a_time(self):
        target = self.target(self.volume, SIZE)
        start = time.monotonic()
        waiting = self.lun(lock_timeout=60)
        self.assertRaises(
            errors.VolumeBusy, self.volume.open_target, SIZE, False
        )
        self.assertLess(time.monotonic() - start, 10)
        self.busy()
        target.close()
        self.target(waiting, SIZE)

    def test_lock_is_let_go(self):
        self.target(self.volume, SIZE).close()
        with self.image() as image:
            self.assertFalse(image.list_lockers())
            image.write(b'x', 0)

    def test_lock_by_hand(self):
        with self.image() as image:
            image.lock_exclusive('maintenance')
            self.busy()
            image.unlock('maintenance')
        self.target(self.volume, SIZE)

    def test_backup_doesn_t_touch_the_lock(self):
        client = self.client()
        self.write(client)
        with self.image() as image:
            lockers = image.list_lockers()
        snapshot = self.volume.take_snapshot('ours')
        for source in (
            self.source(self.volume, SIZE, snapshot),
            self.source(self.volume, SIZE),
        ):
            self.assertEqual(b'theirs', rbd_case.read(source, 0, 6))
            list(source.extents())
            source.close()
        self.volume.drop_snapshot(snapshot)
        with self.image() as image:
            self.assertEqual(lockers, image.list_lockers())
        self.assertEqual('written', self.write(client))


class NoLockTest(LockTestCase):
    """Of an image without the feature, who has it open is all that shows."""

    features = rbd_case.LAYERING

    def test_one_other_client_may_be_cinder_backup(self):
        self.client()
        target = self.target(self.volume, SIZE)
        target.write(0, memoryview(b'ours'))

    def test_two_other_clients(self):
        self.client()
        self.client()
        self.assertIn('exclusive-lock', self.busy())

    def test_one_target_at_a_time(self):
        with contextlib.closing(self.volume.open_target(SIZE, False)):
            self.busy()
        self.target(self.volume, SIZE)

    def test_lock_by_hand(self):
        with self.image() as image:
            image.lock_exclusive('maintenance')
            self.busy()
            image.unlock('maintenance')
