# SPDX-License-Identifier: Apache-2.0
import threading

from ebackup_service.production import base as production
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_cluster
from ebackup_service.production import rbd_library
from tests.unit.ebackup_service.production import rbd_case

MIB = rbd_case.MIB


class Stopped(Exception):
    pass


class ClusterTest(rbd_case.RbdTestCase):
    def setUp(self):
        super().setUp()
        self.create(MIB)
        self.cluster = self.connect(rbd_calls.Calls(production.no_check))
        self.addCleanup(self.cluster.close)
        with self.image() as image:
            self.identity = image.id()

    def connect(self, calls):
        return rbd_cluster.connect(
            rbd_library.load(),
            *(calls, self.ceph.settings(), self.ceph.credentials()),
        )

    def test_snapshot_is_known_by_its_name_until_it_is_removed(self):
        with self.image() as image:
            image.create_snap('one')
            number = image.snap_get_id('one')

            def name():
                return self.cluster.snapshot_name(self.identity, number)

            self.assertEqual('one', name())
            image.rename_snap('one', 'zwei-\u20ac')
            self.assertEqual('zwei-\u20ac', name())
            image.remove_snap('zwei-\u20ac')
            self.assertIsNone(name())
        self.assertIsNone(self.cluster.snapshot_name('none', number))

    def test_snapshot_that_waits_for_its_clones_has_another_name(self):
        """As each that is being removed has."""
        with self.image() as image:
            image.create_snap('one')
            number = image.snap_get_id('one')
        child = f'{self.name}-child'
        place = f'volumes/{self.name}@one'
        self.ceph.rbd(
            *('clone', '--rbd-default-clone-format', '2'),
            *(place, f'volumes/{child}'),
        )
        self.addCleanup(self.remove, child)
        self.ceph.rbd('snap', 'rm', place)
        self.assertNotIn(
            self.cluster.snapshot_name(self.identity, number), (None, 'one')
        )

    def test_size_of_an_image(self):
        self.assertEqual(MIB, self.cluster.image_size(self.identity))
        with self.image() as image:
            image.resize(2 * MIB)
            self.assertEqual(2 * MIB, self.cluster.image_size(self.identity))
        self.assertIsNone(self.cluster.image_size('none'))

    def test_trash(self):
        self.assertFalse(self.cluster.in_trash(self.name))
        trash = self.library.RBD()
        trash.trash_move(self.ioctx, self.name)
        self.assertTrue(self.cluster.in_trash(self.name))
        trash.trash_restore(self.ioctx, self.identity, self.name)
        self.assertFalse(self.cluster.in_trash(self.name))

    def test_image_is_opened_by_name_or_id(self):
        for which in {'name': self.name}, {'image_id': self.identity}:
            with self.cluster.opened(**which) as image:
                self.assertEqual(self.identity, image.id())

    def test_only_one_that_is_not_read_only_is_known_to_others(self):
        with self.cluster.opened(name=self.name), self.image() as image:
            self.assertEqual(1, len(list(image.watchers_list())))
        with (
            self.cluster.opened(False, name=self.name),
            self.image() as image,
        ):
            self.assertEqual(2, len(list(image.watchers_list())))

    def test_lock_is_released_before_its_image_is_closed(self):
        image = self.cluster.open(False, name=self.name)
        image.lock_acquire(self.library.RBD_LOCK_MODE_EXCLUSIVE)
        watched = _Watched(image)
        self.cluster.close_image(watched)
        self.assertTrue(watched.closed.wait(20))
        self.assertIs(False, watched.had_lock)

    def test_connection_is_closed_after_the_last_answer(self):
        """librados crashes if it is shut down while an answer comes."""
        stopped = threading.Event()

        def check():
            if stopped.is_set():
                raise Stopped

        calls = RecordingCalls(check)
        cluster = self.connect(calls)
        self.addCleanup(self.ceph.continue_osd)
        self.ceph.stop_osd()
        stopped.set()
        self.assertRaises(Stopped, cluster.image_size, self.identity)
        cluster.close()
        (asked,) = calls.begun
        self.assertFalse(asked.ended.done())
        self.ceph.continue_osd()
        asked.ended.result(timeout=20)
        self.assertTrue(calls.finish(lambda: None, 20))


class RecordingCalls(rbd_calls.Calls):
    def __init__(self, check):
        super().__init__(check)
        self.begun = []

    def begin(self, starts):
        self.begun.append(super().begin(starts))
        return self.begun[-1]


class _Watched:
    """An image; what it had when it was closed."""

    had_lock = None

    def __init__(self, image):
        self._image = image
        self.closed = threading.Event()

    def __getattr__(self, name):
        return getattr(self._image, name)

    def close(self):
        self.had_lock = self._image.is_exclusive_lock_owner()
        self._image.close()
        self.closed.set()
