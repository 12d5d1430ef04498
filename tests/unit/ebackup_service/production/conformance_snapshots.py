# SPDX-License-Identifier: Apache-2.0
"""What production storages with snapshots must do; see ``conformance``.

Mixed in besides ConformanceTests: SnapshotTests by storages with snapshots,
and ChangedTests by those that tell what changed since one.
"""

from ebackup_service.production import base
from ebackup_service.production import errors
from tests.unit.ebackup_service.production import conformance


class SnapshotTests:
    """Mixed in where a storage takes snapshots."""

    def of_snapshot(self, name: str) -> base.Reference:
        """To a snapshot that has the name, as if Cinder had taken it."""
        raise NotImplementedError

    def test_snapshot_holds_what_the_volume_held(self):
        content = conformance.noise(self.SIZE)
        self.fill(content)
        snapshot = self.lun().take_snapshot('one')
        self.fill(conformance.noise(self.SIZE, 2))

        source = self.source(snapshot=snapshot)
        self.assertEqual(content, self.read(source, 0, self.SIZE))
        self.assertEqual(
            conformance.noise(self.SIZE, 2),
            self.read(self.source(), 0, self.SIZE),
        )

    def test_snapshot_is_found_by_its_name(self):
        lun = self.lun()
        self.assertIsNone(lun.find_snapshot('one'))
        snapshot = lun.take_snapshot('one')
        self.assertEqual(snapshot, lun.find_snapshot('one'))
        self.assertEqual(snapshot, self.lun().find_snapshot('one'))
        self.assertIsNone(lun.find_snapshot('two'))

    def test_name_is_taken_once(self):
        content = conformance.noise(self.SIZE)
        self.fill(content)
        snapshot = self.lun().take_snapshot('one')
        self.fill(bytes(self.SIZE))
        self.assertRaises(
            errors.SnapshotExists, self.lun().take_snapshot, 'one'
        )
        source = self.source(snapshot=snapshot)
        self.assertEqual(content, self.read(source, 0, self.SIZE))

    def test_dropped_snapshot_is_gone(self):
        lun = self.lun()
        snapshot = lun.take_snapshot('one')
        lun.drop_snapshot(snapshot)
        lun.drop_snapshot(snapshot)
        self.assertIsNone(lun.find_snapshot('one'))
        self.assertRaises(
            errors.SnapshotUnknown, self.source, snapshot=snapshot
        )

    def test_anchor_is_found_and_dropped(self):
        lun = self.lun()
        snapshot = lun.take_snapshot('one')
        lun.reduce_to_anchor(snapshot)
        lun.reduce_to_anchor(snapshot)
        self.assertEqual(snapshot, self.lun().find_snapshot('one'))
        self.assertRaises(errors.SnapshotExists, lun.take_snapshot, 'one')
        lun.drop_snapshot(snapshot)
        self.assertIsNone(self.lun().find_snapshot('one'))
        self.assertRaises(
            errors.SnapshotUnknown, lun.reduce_to_anchor, snapshot
        )

    def test_another_snapshot_of_that_name_stays(self):
        lun = self.lun()
        first = lun.take_snapshot('one')
        lun.drop_snapshot(first)
        second = lun.take_snapshot('one')
        self.assertNotEqual(first.id, second.id)
        lun.drop_snapshot(first)
        self.assertEqual(second, lun.find_snapshot('one'))
        self.assertRaises(errors.SnapshotUnknown, self.source, snapshot=first)

    def test_snapshot_that_cinder_names_is_given(self):
        content = conformance.noise(self.SIZE)
        self.fill(content)
        reference = self.of_snapshot('one')
        self.fill(bytes(self.SIZE))
        lun = self.lun(reference)
        self.assertEqual('one', lun.given.name)
        source = self.source(reference, snapshot=lun.given)
        self.assertEqual(content, self.read(source, 0, self.SIZE))

    def test_snapshot_that_is_not_there(self):
        lun = self.lun(reference := self.of_snapshot('one'))
        lun.drop_snapshot(lun.given)
        self.assertRaises(errors.SnapshotUnknown, self.storage.find, reference)

    def test_volume_is_found_by_its_key(self):
        lun = self.lun()
        snapshot = lun.take_snapshot('one')
        kept = self.storage.find_kept(self.reference(), lun.key)
        self.addCleanup(kept.close)
        self.assertEqual(lun.key, kept.key)
        self.assertEqual(snapshot, kept.find_snapshot('one'))
        kept.drop_snapshot(snapshot)
        self.assertIsNone(lun.find_snapshot('one'))

    def test_volume_gives_no_snapshot(self):
        self.assertIsNone(self.lun().given)

    def test_key_is_the_volumes(self):
        key = self.lun().key
        self.assertEqual(key, self.lun().key)
        self.assertEqual(key, self.lun(self.of_snapshot('one')).key)


class ChangedTests(conformance.DifferenceTests):
    """Mixed in where a storage tells what changed since a snapshot."""

    # whether a volume that was made anew has another key
    KEYS_DIFFER = True

    def recreate(self) -> None:
        """Make the volume anew, under the same name, without snapshots."""
        raise NotImplementedError

    def changed(self, source: base.Source) -> bytearray:
        """One byte for each of the volume's: 1 if it may have changed."""
        self.assertEqual(base.ExtentKind.UNCHANGED, source.gaps)
        found = bytearray(self.SIZE)
        end = 0
        for offset, length, kind in source.extents():
            self.assertLessEqual(end, offset)
            self.assertLess(0, length)
            end = offset + length
            if kind is not base.ExtentKind.UNCHANGED:
                found[offset:end] = b'\1' * length
            if kind is base.ExtentKind.HOLE:
                self.assertEqual(
                    bytes(length), self.read(source, offset, length)
                )
        self.assertLessEqual(end, self.SIZE)
        return found

    def assert_told(self, before: bytes, after: bytes, told: bytes) -> None:
        for page in range(0, self.SIZE, conformance.PAGE):
            if (
                before[page : page + conformance.PAGE]
                != after[page : page + conformance.PAGE]
            ):
                self.assertIn(1, told[page : page + conformance.PAGE])

    def test_nothing_changed(self):
        self.fill(conformance.noise(self.SIZE))
        one = self.lun().take_snapshot('one')
        two = self.lun().take_snapshot('two')
        source = self.source(snapshot=two, since=one)
        self.assertEqual(bytes(self.SIZE), self.changed(source))

    def test_all_that_changed_is_told(self):
        before = conformance.noise(self.SIZE)
        self.fill(before)
        one = self.lun().take_snapshot('one')
        after = bytearray(before)
        after[5:9] = b'1234'
        after[conformance.MIB + 1 : conformance.MIB + conformance.PAGE + 3] = (
            bytes(conformance.PAGE + 2)
        )
        after[-1] = after[-1] ^ 255
        self.fill(bytes(after))
        two = self.lun().take_snapshot('two')
        self.fill(conformance.noise(self.SIZE, 3))

        source = self.source(snapshot=two, since=one)
        self.assertEqual(after, self.read(source, 0, self.SIZE))
        self.assert_told(before, bytes(after), self.changed(source))
        self.assertEqual(list(source.extents()), list(source.extents()))

    def test_what_became_zeros_is_told(self):
        before = conformance.noise(self.SIZE)
        self.fill(before)
        one = self.lun().take_snapshot('one')
        target = self.target()
        target.zero(conformance.MIB, 2 * conformance.MIB)
        target.flush()
        target.close()
        two = self.lun().take_snapshot('two')
        after = (
            before[: conformance.MIB]
            + bytes(2 * conformance.MIB)
            + before[3 * conformance.MIB :]
        )
        told = self.changed(self.source(snapshot=two, since=one))
        self.assert_told(before, after, told)

    def test_volume_itself_is_compared(self):
        before = conformance.noise(self.SIZE)
        self.fill(before)
        one = self.lun().take_snapshot('one')
        after = before[: -conformance.PAGE] + b'x' * conformance.PAGE
        self.fill(after)
        told = self.changed(self.source(since=one))
        self.assert_told(before, after, told)

    def test_anchor_is_compared_with(self):
        before = conformance.noise(self.SIZE)
        self.fill(before)
        one = self.lun().take_snapshot('one')
        self.lun().reduce_to_anchor(one)
        after = (
            before[: conformance.MIB]
            + b'x' * conformance.PAGE
            + before[conformance.MIB + conformance.PAGE :]
        )
        self.fill(after)
        two = self.lun().take_snapshot('two')
        self.fill(conformance.noise(self.SIZE, 3))

        source = self.source(snapshot=two, since=one)
        self.assertEqual(after, self.read(source, 0, self.SIZE))
        self.assert_told(before, after, self.changed(source))

    def test_no_difference_backwards(self):
        self.fill(conformance.noise(self.SIZE))
        one = self.lun().take_snapshot('one')
        self.fill(conformance.noise(self.SIZE, 2))
        two = self.lun().take_snapshot('two')
        self.assert_no_difference(two, one)

    def test_no_difference_to_what_is_gone(self):
        lun = self.lun()
        one = lun.take_snapshot('one')
        lun.drop_snapshot(one)
        lun.take_snapshot('one')
        two = lun.take_snapshot('two')
        for snapshot in (two, None):
            self.assert_no_difference(one, snapshot)

    def test_volume_that_was_made_anew_is_another_one(self):
        lun = self.lun()
        key, one = lun.key, lun.take_snapshot('one')
        lun.close()
        self.recreate()
        kept = self.storage.find_kept(self.reference(), key)
        if self.KEYS_DIFFER:
            self.assertNotEqual(key, self.lun().key)
            self.assertIsNone(kept)
        else:
            self.assertIsNone(kept.find_snapshot('one'))
        self.assert_no_difference(one)
