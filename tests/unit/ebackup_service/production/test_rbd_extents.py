# SPDX-License-Identifier: Apache-2.0
import contextlib
import random
import tracemalloc
from unittest import mock

from testtools import content as details

from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_extents
from tests import base
from tests.unit.ebackup_service.production import rbd_case

MIB = rbd_case.MIB
GIB = 1024 * MIB
DATA, HOLE = production.ExtentKind.DATA, production.ExtentKind.HOLE


class AllocatedTest(rbd_case.RbdTestCase):
    def listed(self, size):
        volume = self.lun()
        source = self.source(volume, size, volume.take_snapshot('one'))
        return [tuple(extent) for extent in source.extents()]

    def test_empty_image(self):
        self.create(GIB)
        self.assertEqual([], self.listed(GIB))

    def test_objects_from_their_beginning_to_their_last_byte(self):
        """Ceph knows of no holes before that."""
        self.create(GIB - 512)
        with self.image() as image:
            image.write(b'x' * MIB, 3 * MIB)
            image.write(b'x' * MIB, 4 * MIB)
            image.write(b'x' * 4096, 600 * MIB)
            image.write(b'x' * 512, GIB - 1024)
        self.assertEqual(
            [
                (0, 5 * MIB, DATA),
                (600 * MIB, 4096, DATA),
                (1020 * MIB, 4 * MIB - 512, DATA),
            ],
            self.listed(GIB - 512),
        )

    def test_several_windows(self):
        self.create(GIB)
        with self.image() as image:
            image.write(b'x' * (20 * MIB), 500 * MIB)
        windows = {'_WINDOW': 8 * MIB, '_MAP_WINDOW': 512 * MIB}
        with mock.patch.multiple(rbd_extents, **windows):
            found = self.listed(GIB)
        self.assertEqual(
            [
                (500 * MIB, 8 * MIB, DATA),
                (508 * MIB, 4 * MIB, DATA),
                (512 * MIB, 8 * MIB, DATA),
            ],
            found,
        )

    def test_object_map_that_is_not_valid(self):
        self.create(16 * MIB)
        with self.image() as image:
            image.write(b'x' * 4096, 8 * MIB)
            image.update_features(
                self.library.RBD_FEATURE_OBJECT_MAP
                | self.library.RBD_FEATURE_FAST_DIFF,
                False,
            )
            image.update_features(
                self.library.RBD_FEATURE_OBJECT_MAP
                | self.library.RBD_FEATURE_FAST_DIFF,
                True,
            )
            self.assertTrue(
                image.flags() & self.library.RBD_FLAG_FAST_DIFF_INVALID
            )
        self.assertEqual([(8 * MIB, 4096, DATA)], self.listed(16 * MIB))


class ChangedTest(rbd_case.RbdTestCase):
    def changed(self, volume, size, since):
        two = volume.take_snapshot('last')
        source = self.source(volume, size, two, since)
        return [tuple(extent) for extent in source.extents()]

    def test_just_what_was_written(self):
        self.create(GIB)
        with self.image() as image:
            image.write(b'a' * (64 * MIB), 0)
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            image.write(b'b' * 4096, 4096)
            image.write(b'b' * 4096, 900 * MIB)
            image.discard(8 * MIB, 4 * MIB)
        self.assertEqual(
            [
                (4096, 4096, DATA),
                (8 * MIB, 4 * MIB, HOLE),
                (900 * MIB, 4096, DATA),
            ],
            self.changed(volume, GIB, one),
        )

    def test_rolled_back_to_an_earlier_snapshot(self):
        """The object map says then that nothing has changed."""
        self.create(64 * MIB)
        with self.image() as image:
            image.write(b'a' * (8 * MIB), 0)
            image.create_snap('snapshot-1')
            image.create_snap('snapshot-2')
            image.write(b'b' * 4096, MIB)
            image.write(b'b' * 4096, 40 * MIB)
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            image.rollback_to_snap('snapshot-2')
        found = self.changed(volume, 64 * MIB, one)
        with self.image() as image:
            fast = []
            image.set_snap('last')
            image.diff_iterate(
                *(0, 64 * MIB, 'one', lambda *extent: fast.append(extent)),
                whole_object=True,
            )
            self.assertEqual([(40 * MIB, 4 * MIB, False)], fast)
        told = {
            page
            for offset, length, _ in found
            for page in range(offset // 4096, (offset + length) // 4096)
        }
        self.assertIn(MIB // 4096, told)
        self.assertIn(40 * MIB // 4096, told)

    def test_whatever_happened_between_two_snapshots(self):
        for number in range(4):
            seed = random.randrange(2**32)
            self.addDetail(f'seed {number}', details.text_content(str(seed)))
            self._happen(random.Random(seed))
            self.remove()

    def _happen(self, choice):
        size = choice.choice([8 * MIB, 8 * MIB + 512])
        if choice.random() < 0.4:
            self._clone(choice, size)
        else:
            features = choice.choice([rbd_case.FEATURES, rbd_case.LAYERING])
            self.create(size, features=features, order=20)
        volume = self.lun()
        held = {}
        for number in range(6):
            with self.image() as image:
                for _ in range(choice.randrange(5)):
                    self._do_something(image, choice, list(held))
                content = image.read(0, image.size())
            held[volume.take_snapshot(f's{number}')] = content
        snapshots = list(held)
        for index, after in enumerate(snapshots):
            for before in snapshots[:index]:
                self._compare(volume, before, after, held)

    def _clone(self, choice, size):
        parent = f'parent-{self.name}-{choice.random()}'
        self.create(size, parent, order=20)
        with self.image(parent) as image:
            for _ in range(4):
                image.write(choice.randbytes(MIB), choice.randrange(7 * MIB))
            image.create_snap('base')
            image.protect_snap('base')
        self.clone(parent, 'base')

    def _do_something(self, image, choice, snapshots):
        size = image.size()
        offset = choice.randrange(size)
        length = min(choice.choice([512, 65536, MIB, 3 * MIB]), size - offset)
        kind = choice.choices(
            ['write', 'discard', 'zero', 'shrink', 'grow', 'flatten', 'roll'],
            [9, 5, 3, 1, 1, 0.3, 2],
        )[0]
        if kind == 'write':
            image.write(choice.randbytes(length), offset)
        elif kind == 'discard':
            image.discard(offset, length)
        elif kind == 'zero':
            image.write_zeroes(offset, length)
        elif kind == 'shrink':
            image.resize(max(offset, 512))
        elif kind == 'grow':
            image.resize(size + length)
        elif kind == 'flatten':
            with contextlib.suppress(self.library.InvalidArgument):
                image.flatten()
        elif snapshots:
            image.rollback_to_snap(choice.choice(snapshots).name)

    def _compare(self, volume, before, after, held):
        size = len(held[after])
        found = bytearray(held[before][:size].ljust(size, b'\0'))
        try:
            source = volume.open_source(size, after, before)
        except errors.DifferenceUnavailable:
            source = volume.open_source(size, after)
            found = bytearray(size)
        for offset, length, kind in source.extents():
            piece = bytes(length)
            if kind is DATA:
                piece = rbd_case.read(source, offset, length)
            found[offset : offset + length] = piece
        source.close()
        self.assertEqual(held[after], found)


class BytesNamedTest(rbd_case.RbdTestCase):
    """What a backup of a few changes reads."""

    def named(self, size, changes, filled=0):
        self.create(size)
        self.fill(b'a' * filled)
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            for offset, length in changes:
                image.write(b'x' * length, offset)
        source = self.source(volume, size, volume.take_snapshot('two'), one)
        return rbd_case.named(source)

    def test_forty_runs_of_a_large_image(self):
        size = 256 * GIB
        step = size // 40 // (4 * MIB) * (4 * MIB)
        runs = [(index * step, MIB) for index in range(40)]
        self.assertEqual({DATA: 40 * MIB}, self.named(size, runs))

    def test_scattered_pages(self):
        size = 64 * MIB
        pages = random.Random(1).sample(range(size // 4096), 100)
        changes = [(page * 4096, 4096) for page in pages]
        self.assertEqual({DATA: 100 * 4096}, self.named(size, changes, size))


class LyingTest(base.BaseTestCase):
    """A librbd that has defects."""

    def windows(self, *extents):
        return [list(window) for window in self.listed(extents)]

    def listed(self, extents):
        def diff_iterate(offset, length, since, add, **options):
            for extent in extents:
                add(*extent)

        image = mock.Mock()
        image.size.return_value = 16 * MIB
        image.stat.return_value = {'obj_size': 4 * MIB}
        image.stripe_count.return_value = 1
        image.features.return_value = 0
        image.diff_iterate = diff_iterate
        cluster = mock.Mock(
            calls=rbd_calls.Calls(production.no_check),
            library=mock.Mock(
                rbd=mock.Mock(
                    RBD_FEATURE_OBJECT_MAP=8,
                    RBD_FEATURE_FAST_DIFF=16,
                    RBD_FLAG_OBJECT_MAP_INVALID=1,
                    RBD_FLAG_FAST_DIFF_INVALID=2,
                )
            ),
        )
        view = rbd_extents.View(image, None)
        return rbd_extents.Changed(cluster, view, view, 'one').windows()

    def test_order_doesn_t_matter(self):
        self.assertEqual(
            [[(0, 5, DATA), (7, 1, HOLE), (8, 2, DATA)]],
            self.windows((8, 2, True), (7, 1, False), (0, 5, True)),
        )

    def test_neighbours_of_a_kind_are_one(self):
        self.assertEqual(
            [[(0, 7, DATA), (7, 3, HOLE)]],
            self.windows(
                (0, 5, True), (5, 2, True), (7, 1, False), (8, 2, False)
            ),
        )

    def test_window_of_many_extents_is_small(self):
        count = 100_000
        listed = self.listed((4 * i, 2, i % 2 == 0) for i in range(count))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        (window,) = listed
        kept, peak = tracemalloc.get_traced_memory()
        self.assertLess(kept, 30 * count)
        self.assertLess(peak, 100 * count)
        extents = 0
        for extent in window:
            self.assertEqual((4 * extents, 2, extents % 2), extent)
            extents += 1
        self.assertEqual(count, extents)
        self.assertLess(tracemalloc.get_traced_memory()[1], 100 * count)

    def test_invalid_extents(self):
        for extents in (
            [(0, 5, True), (4, 2, True)],
            [(0, 5, True), (0, 5, False)],
            [(0, 8, True), (2, 2, True)],
            [(16 * MIB - 1, 2, True)],
            [(16 * MIB, 1, True)],
            [(3, 0, True)],
        ):
            self.assertRaises(errors.ExtentsInvalid, self.windows, *extents)
