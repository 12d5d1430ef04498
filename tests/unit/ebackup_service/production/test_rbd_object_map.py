# SPDX-License-Identifier: Apache-2.0
import errno
import random
import struct
from unittest import mock

from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_object_map
from tests import base
from tests.unit.ebackup_service.production import rbd_case

MIB = rbd_case.MIB


def encoded(states, version=1, more=b''):
    """What Ceph answers of objects in those states."""
    data = bytearray(-(-len(states) // 4))
    for number, state in enumerate(states):
        data[number // 4] |= state << (6 - number % 4 * 2)
    header = struct.pack('<BBIQ', version, version, 8, len(states)) + more
    return struct.pack('<I', len(header)) + header + data + bytes(4)


class ObjectMapTest(base.BaseTestCase):
    def test_which_objects_may_exist(self):
        states = random.Random(1).choices(range(4), k=1001)
        found = rbd_object_map.ObjectMap(encoded(states))
        self.assertEqual(1001, len(found))
        for first, stop in (0, 1001), (0, 4), (4, 7), (1000, 1001), (8, 2000):
            self.assertEqual(
                [state != 0 for state in states[first:stop]],
                found.exist(first, stop).tolist(),
            )
        self.assertEqual([], found.exist(1004, 2000).tolist())

    def test_header_that_has_grown(self):
        found = rbd_object_map.ObjectMap(encoded([1, 0, 1], more=b'abc'))
        self.assertEqual([True, False, True], found.exist(0, 3).tolist())

    def test_what_is_no_object_map(self):
        good = encoded([1] * 100)
        for content in (
            b'',
            good[:17],
            good[:30],
            encoded([1] * 4, version=2),
            b'\x05' + good[1:],
        ):
            self.assertRaises(ValueError, rbd_object_map.ObjectMap, content)


class LoadTest(base.BaseTestCase):
    """A Ceph whose answers are ours."""

    def load(self, answer, stripes=3, width=1, flags=0, features=24):
        image = mock.Mock()
        image.id.return_value = 'abc'
        image.features.return_value = features
        image.flags.return_value = flags
        rbd = mock.Mock(
            RBD_FEATURE_OBJECT_MAP=8,
            RBD_FEATURE_FAST_DIFF=16,
            RBD_FLAG_OBJECT_MAP_INVALID=1,
            RBD_FLAG_FAST_DIFF_INVALID=2,
        )
        self.cluster = mock.Mock(
            calls=rbd_calls.Calls(lambda: None), library=mock.Mock(rbd=rbd)
        )
        self.cluster.ask.side_effect = [answer]
        return rbd_object_map.load(self.cluster, image, 17, stripes, width)

    def test_map_of_a_snapshot(self):
        found = self.load(encoded([1, 0, 3]))
        self.assertEqual([True, False, True], found.exist(0, 3).tolist())
        name, method, *_ = self.cluster.ask.call_args.args
        self.assertEqual('rbd_object_map.abc.0000000000000011', name)
        self.assertEqual('object_map_load', method)

    def test_last_stripe_may_be_short(self):
        self.assertIsNotNone(self.load(encoded([1] * 9), 3, 4))
        self.assertIsNone(self.load(encoded([1] * 8), 3, 4))

    def test_map_that_nobody_can_rely_on(self):
        self.assertIsNone(self.load(None))
        self.assertIsNone(self.load(encoded([1, 0])))
        self.assertIsNone(self.load(b'no map'))
        self.assertIsNone(self.load(OSError(errno.ERANGE, 'too long')))
        good = encoded([1, 0, 3])
        self.assertIsNone(self.load(good, flags=1))
        self.assertIsNone(self.load(good, flags=2))
        self.assertIsNone(self.load(good, features=8))
        self.assertRaises(OSError, self.load, OSError(errno.EIO, 'broken'))


class CephTest(rbd_case.RbdTestCase):
    def test_maps_are_those_of_librbd(self):
        """As many objects as a last byte of the map is only partly about."""
        count = 1003
        choose = random.Random(2)
        self.create(count * 4 * MIB)
        first, second = choose.sample(range(count), 40), [1, 500, count - 1]
        with self.image() as image:
            for number in first:
                image.write(b'x', number * 4 * MIB)
        lun = self.lun()
        one = lun.take_snapshot('one')
        with self.image() as image:
            for number in second:
                image.write(b'x', number * 4 * MIB)
        for snapshot, expected in (
            (one, set(first)),
            (None, {*first, *second}),
        ):
            source = self.source(lun, count * 4 * MIB, snapshot)
            found = rbd_object_map.load(
                lun._cluster,
                source._image,
                None if snapshot is None else int(snapshot.id),
                *(count, 1),
            )
            self.assertEqual(
                expected, set(found.exist(0, count).nonzero()[0].tolist())
            )

    def test_striped_image(self):
        size = 30 * MIB
        self.create(
            size, stripe_unit=65536, stripe_count=4, order=20, features=63
        )
        with self.image() as image:
            image.write(b'x' * 65536, 5 * MIB)
            image.write(b'x' * 100, size - 100)
        lun = self.lun()
        one = lun.take_snapshot('one')
        with self.image() as image:
            image.write(b'y' * 4096, 17 * MIB)
        two = lun.take_snapshot('two')
        changed = list(self.source(lun, size, two, one).extents())
        self.assertIn(17 * MIB, [extent.offset for extent in changed])
        found = bytearray(size)
        source = self.source(lun, size, two)
        for extent in source.extents():
            piece = rbd_case.read(source, extent.offset, extent.length)
            found[extent.offset : extent.offset + extent.length] = piece
        self.assertEqual(self.content(), bytes(found))
