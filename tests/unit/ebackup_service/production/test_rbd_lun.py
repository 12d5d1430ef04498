# SPDX-License-Identifier: Apache-2.0
import uuid

from cinder.volume.drivers import rbd as cinder_rbd

from ebackup_service.production import base as production
from ebackup_service.production import errors
from tests import ceph
from tests.unit.ebackup_service.production import rbd_case

MIB = rbd_case.MIB
SIZE = 8 * MIB


class FindTest(rbd_case.RbdTestCase):
    def refused(self, error):
        raised = self.assertRaises(
            error, self.storage().find, self.reference()
        )
        self.assertIn(self.name, str(raised))
        self.assertLess(len(str(raised)), 255)
        return str(raised)

    def test_key_is_the_clusters_the_pools_and_the_images(self):
        self.create(SIZE)
        with self.image() as image:
            wanted = image.id()
        cluster, pool, namespace, found = self.lun().key.split('/')
        self.assertEqual(self.ceph.admin.get_fsid(), cluster)
        self.assertEqual(str(self.ioctx.get_pool_id()), pool)
        self.assertEqual('', namespace)
        self.assertEqual(wanted, found)

    def test_image_in_a_namespace(self):
        self.ceph.rbd('namespace', 'create', f'{ceph.POOL}/{self.name}')
        self.ioctx.set_namespace(self.name)
        self.create(SIZE)
        self.fill(b'x' * SIZE)
        lun = self.lun(namespace=self.name)
        source = self.source(lun, SIZE, lun.take_snapshot('one'))
        self.assertEqual(b'x' * SIZE, rbd_case.read(source, 0, SIZE))
        self.refused(errors.VolumeUnknown)

    def test_nothing_of_that_name(self):
        self.assertIn('back end', self.refused(errors.VolumeUnknown))

    def test_image_in_the_trash(self):
        self.create(SIZE)
        with self.image() as image:
            identity = image.id()
        self.library.RBD().trash_move(self.ioctx, self.name)
        self.addCleanup(
            self.library.RBD().trash_remove, self.ioctx, identity, True
        )
        self.assertIn('trash restore', self.refused(errors.VolumeUnknown))

    def test_image_that_is_being_migrated(self):
        self.create(SIZE)
        to = f'{ceph.POOL}/{self.name}'
        self.ceph.rbd('migration', 'prepare', to, to)
        self.addCleanup(self.ceph.rbd, 'migration', 'abort', to)
        self.assertIn('rbd migration', self.refused(errors.VolumeBusy))

    def test_snapshot_that_cinder_took(self):
        self.create(SIZE)
        with self.image() as image:
            image.create_snap('snapshot-1')
            image.protect_snap('snapshot-1')
            image.resize(2 * SIZE)
        lun = self.storage().find(self.reference('snapshot-1'))
        # It has the size that the volume had.
        self.source(lun, SIZE, lun.given)
        self.assertRaises(
            errors.SnapshotUnknown,
            self.storage().find,
            self.reference('snapshot-2'),
        )


class FindKeptTest(rbd_case.RbdTestCase):
    def setUp(self):
        super().setUp()
        self.create(SIZE)
        lun = self.lun()
        self.key, self.snapshot = lun.key, lun.take_snapshot('ours')

    def found(self, key=None, **settings):
        return self.storage(**settings).find_kept(
            self.reference(), key or self.key
        )

    def test_image_in_the_trash(self):
        image_id = self.key.rpartition('/')[2]
        rbd = self.library.RBD()
        rbd.trash_move(self.ioctx, self.name)
        self.addCleanup(rbd.trash_restore, self.ioctx, image_id, self.name)
        lun = self.found()
        self.assertEqual(self.snapshot, lun.find_snapshot('ours'))
        lun.drop_snapshot(self.snapshot)
        self.assertIsNone(lun.find_snapshot('ours'))

    def test_renamed_image_and_another_one_of_its_name(self):
        other = f'{self.name}-2'
        self.library.RBD().rename(self.ioctx, self.name, other)
        self.addCleanup(self.remove, other)
        self.create(SIZE)
        with self.image() as image:
            image.create_snap('ours')
        lun = self.found()
        self.assertEqual(self.key, lun.key)
        lun.drop_snapshot(self.snapshot)
        self.assertIsNone(lun.find_snapshot('ours'))
        self.assertEqual(['ours'], self.snapshots())

    def test_image_that_is_gone(self):
        self.remove()
        self.create(SIZE)
        self.assertIsNone(self.found())

    def test_another_cluster_or_pool_may_have_it(self):
        cluster, pool, namespace, image_id = self.key.split('/')
        other = self.ceph.ioctx(ceph.OTHER_POOL)
        self.addCleanup(other.close)
        for place in (
            ('00000000-0000-0000-0000-000000000000', pool),
            ('00000000-0000-0000-0000-000000000000', '4711'),
            (cluster, str(other.get_pool_id())),
        ):
            key = '/'.join((*place, namespace, image_id))
            error = self.assertRaises(
                errors.SourceUnavailable, self.found, key
            )
            self.assertTrue(error.retryable)
            self.assertIn('/'.join(place), str(error))
            self.assertIn(f'{cluster}/{pool}', str(error))
            self.assertLess(len(str(error)), 255)

    def test_pool_that_was_made_anew_has_it_no_more(self):
        cluster, _, namespace, image_id = self.key.split('/')
        key = '/'.join((cluster, '4711', namespace, image_id))
        self.assertIsNone(self.found(key))

    def test_missing_pool_may_have_it(self):
        self.assertRaises(errors.VolumeUnknown, self.found, pool='tapes')


class SnapshotTest(rbd_case.RbdTestCase):
    def setUp(self):
        super().setUp()
        self.create(SIZE)
        self.volume = self.lun()

    def test_it_is_neither_protected_nor_cloned(self):
        self.volume.take_snapshot('ours')
        with self.image() as image:
            self.assertFalse(image.is_protected_snap('ours'))

    def test_snapshots_of_others_stay(self):
        with self.image() as image:
            for name in 'snapshot-1', 'backup.1.snap.2':
                image.create_snap(name)
        snapshot = self.volume.take_snapshot('backup.3.snap.4')
        self.volume.drop_snapshot(snapshot)
        self.volume.drop_snapshot(snapshot)
        self.assertEqual(['snapshot-1', 'backup.1.snap.2'], self.snapshots())

    def test_one_that_somebody_renamed_is_not_ours_any_more(self):
        snapshot = self.volume.take_snapshot('ours')
        with self.image() as image:
            image.rename_snap('ours', 'theirs')
        self.volume.drop_snapshot(snapshot)
        self.assertEqual(['theirs'], self.snapshots())

    def test_protected_by_somebody(self):
        snapshot = self.volume.take_snapshot('ours')
        with self.image() as image:
            image.protect_snap('ours')
        error = self.assertRaises(
            errors.SnapshotBusy, self.volume.drop_snapshot, snapshot
        )
        self.assertTrue(error.retryable)
        self.assertEqual(['ours'], self.snapshots())

    def test_cloned_by_somebody_without_protection(self):
        snapshot = self.volume.take_snapshot('ours')
        child = f'{self.name}-child'
        self.ceph.rbd(
            *('clone', '--rbd-default-clone-format', '2'),
            *(f'{ceph.POOL}/{self.name}@ours', f'{ceph.POOL}/{child}'),
        )
        self.addCleanup(self.remove, child)
        self.assertRaises(
            errors.SnapshotBusy, self.volume.drop_snapshot, snapshot
        )
        self.assertEqual(['ours'], self.snapshots())

    def test_of_a_volume_that_was_removed_nothing_is_left_to_drop(self):
        snapshot = self.volume.take_snapshot('ours')
        self.remove()
        self.volume.drop_snapshot(snapshot)
        self.create(SIZE)
        with self.image() as image:
            image.create_snap('ours')
        self.volume.drop_snapshot(snapshot)
        self.assertEqual(['ours'], self.snapshots())
        for call in (
            lambda: self.volume.take_snapshot('more'),
            lambda: self.volume.open_source(SIZE),
            lambda: self.volume.open_target(SIZE, False),
        ):
            self.assertRaises(errors.VolumeUnknown, call)

    def test_cinders_driver_removes_ours_when_it_deletes_the_volume(self):
        """By the function of its own that does so first of all."""
        self.volume.take_snapshot(f'backup.{uuid.uuid4()}.snap.1764312000.25')
        self.volume.take_snapshot(f'backup.{uuid.uuid4()}.snap.1764312001')
        driver = object.__new__(cinder_rbd.RBDDriver)
        with self.image() as image:
            image.create_snap('snapshot-1')
            driver._delete_backup_snaps(image)
        self.assertEqual(['snapshot-1'], self.snapshots())


class DifferenceTest(rbd_case.RbdTestCase):
    def setUp(self):
        super().setUp()
        self.create(SIZE)
        self.volume = self.lun()
        self.one = self.volume.take_snapshot('one')

    def test_of_a_snapshot_to_itself(self):
        source = self.source(self.volume, SIZE, self.one, self.one)
        self.assertEqual([], list(source.extents()))

    def test_since_a_snapshot_of_another_volume(self):
        name = f'{self.name}-other'
        self.create(SIZE, name)
        with self.image(name) as image:
            image.create_snap('one')
        other = production.Reference('other', name=name)
        theirs = self.storage().find(other).find_snapshot('one')
        error = self.assertRaises(
            errors.DifferenceUnavailable,
            *(self.volume.open_source, SIZE, None, theirs),
        )
        self.assertLess(len(str(error)), 255)

    def test_since_one_that_was_renamed(self):
        with self.image() as image:
            image.rename_snap('one', 'uno')
        self.assertRaises(
            errors.DifferenceUnavailable,
            *(self.volume.open_source, SIZE, None, self.one),
        )

    def test_grown_volume(self):
        with self.image() as image:
            image.resize(2 * SIZE)
            image.write(b'x' * MIB, SIZE)
        two = self.volume.take_snapshot('two')
        source = self.source(self.volume, 2 * SIZE, two, self.one)
        self.assertEqual(
            [production.Extent(SIZE, MIB, production.ExtentKind.DATA)],
            list(source.extents()),
        )

    def test_header_that_cinder_does_not_count_is_read_and_written(self):
        with self.image() as image:
            image.resize(SIZE + MIB)
            image.write(b'x' * MIB, SIZE)
        two = self.volume.take_snapshot('two')
        source = self.source(self.volume, SIZE, two)
        self.assertEqual(SIZE + MIB, source.size)
        self.assertEqual(b'x' * MIB, rbd_case.read(source, SIZE, MIB))
        target = self.target(self.volume, SIZE)
        self.assertEqual(SIZE + MIB, target.size)


class CloneTest(rbd_case.RbdTestCase):
    """A volume that was made of an image in another pool."""

    def setUp(self):
        super().setUp()
        self.others = self.ceph.ioctx(ceph.OTHER_POOL)
        self.addCleanup(self.others.close)
        self.parent = f'parent-{self.name}'
        self.create(SIZE, self.parent, self.others)
        with self.library.Image(self.others, self.parent) as image:
            image.write(b'p' * (5 * MIB), MIB)
            image.create_snap('base')
            image.protect_snap('base')
        self.clone(self.parent, 'base', self.others)
        with self.image() as image:
            image.write(b'c' * MIB, 0)
        self.expected = b'c' * MIB + b'p' * (5 * MIB) + bytes(2 * MIB)

    def test_image_whose_parent_is_not_permitted(self):
        storage = self.storage('confined')
        error = self.assertRaises(
            errors.AccessDenied, storage.find, self.reference()
        )
        self.assertFalse(error.retryable)
        self.assertIn('pools of parents', str(error))
        # It is the parent that is missed.
        with self.image() as image:
            image.flatten()
        source = self.source(storage.find(self.reference()), SIZE)
        self.assertEqual(self.expected, rbd_case.read(source, 0, SIZE))

    def test_what_the_parent_holds_is_allocated_and_read(self):
        volume = self.lun()
        source = self.source(volume, SIZE, volume.take_snapshot('one'))
        found = bytearray(SIZE)
        for extent in source.extents():
            self.assertEqual(production.ExtentKind.DATA, extent.kind)
            end = extent.offset + extent.length
            found[extent.offset : end] = rbd_case.read(
                source, extent.offset, extent.length
            )
        self.assertEqual(self.expected, found)

    def test_change_since_a_snapshot_is_told(self):
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            image.write(b'x', 4 * MIB + 5)
        two = volume.take_snapshot('two')
        source = self.source(volume, SIZE, two, one)
        [extent] = source.extents()
        self.assertLessEqual(extent.offset, 4 * MIB + 5)
        self.assertLess(4 * MIB, extent.offset + extent.length)

    def test_flattened_between_two_snapshots(self):
        """With deep-flatten, the earlier snapshot has its own data, too."""
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            image.flatten()
        two = volume.take_snapshot('two')
        source = self.source(volume, SIZE, two, one)
        self.assertEqual(self.expected, rbd_case.read(source, 0, SIZE))
        self.assertEqual(
            self.expected,
            rbd_case.read(self.source(volume, SIZE, one), 0, SIZE),
        )

    def test_made_smaller_and_larger_between_two_snapshots(self):
        """What the parent held there is gone, and no object shows it."""
        volume = self.lun()
        one = volume.take_snapshot('one')
        with self.image() as image:
            image.resize(4 * MIB)
            image.resize(SIZE)
        two = volume.take_snapshot('two')
        self.assertRaises(
            errors.DifferenceUnavailable,
            *(volume.open_source, SIZE, two, one),
        )
        source = self.source(volume, SIZE, two)
        self.assertEqual(
            self.expected[: 4 * MIB] + bytes(4 * MIB),
            rbd_case.read(source, 0, SIZE),
        )

    def test_restored_zeros_don_t_show_the_parent(self):
        volume = self.lun()
        target = self.target(volume, SIZE, True)
        self.assertFalse(target.truncated)
        expected = bytearray(self.expected)
        for offset, length in (
            (MIB + 17, 99),
            (2 * MIB, MIB),
            (4 * MIB, 4 * MIB),
        ):
            target.zero(offset, length)
            expected[offset : offset + length] = bytes(length)
        target.flush()
        self.assertEqual(expected, rbd_case.read(target, 0, SIZE))
        target.close()
        self.assertEqual(expected, self.content())
