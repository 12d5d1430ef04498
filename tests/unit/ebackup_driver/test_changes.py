# SPDX-License-Identifier: Apache-2.0
import datetime

from ebackup_driver import changes
from tests import base
from tests.unit.ebackup_driver import cinder_records

DAY = datetime.timedelta(days=1)


class KnowingFile:
    """What Cinder may open a snapshot as one day."""

    def __init__(self, extents):
        self.extents = extents
        self.asked = []

    def get_cbt_extents(self, volume, from_snapshot, to_snapshot):
        self.asked.append((volume.id, from_snapshot.id, to_snapshot.id))
        if isinstance(self.extents, Exception):
            raise self.extents
        return self.extents


class ChangesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        self.volume = cinder_records.volume(size=3)
        self.before = cinder_records.snapshot(self.volume)
        self.after = cinder_records.snapshot(self.volume)
        self.last = self.backed_up(self.before)
        self.backup = cinder_records.backup(
            self.volume, snapshot_id=self.after.id
        )

    def backed_up(self, snapshot=None, days=2, **values):
        backup = cinder_records.backup(
            self.volume, snapshot_id=snapshot and snapshot.id
        )
        backup.update({'status': 'available', **values})
        backup.created_at = backup.created_at - days * DAY
        backup.save()
        return backup

    def named(self, extents, backup=None):
        self.file = KnowingFile(extents)
        context = cinder_records.user_context()
        return changes.named(context, backup or self.backup, self.file)


class TestNamed(ChangesTestCase):
    def test_is_what_is_different_from_the_last_backup(self):
        self.backed_up(self.after, days=3)
        self.assertEqual(
            {'changes': {'since': self.last.id, 'extents': [(0, 7), (9, 1)]}},
            self.named([(0, 7), (9, 1)]),
        )
        self.assertEqual(
            [(self.volume.id, self.before.id, self.after.id)], self.file.asked
        )

    def test_nothing_is_different(self):
        named = self.named([])
        self.assertEqual([], named['changes']['extents'])

    def test_extents_may_be_mappings_in_any_order(self):
        named = self.named(
            iter(
                [
                    {'offset': 20, 'length': 5},
                    {'offset': 22, 'length': 9},
                    {'offset': 4, 'length': 0},
                    {'offset': 1, 'length': 2},
                ]
            )
        )
        self.assertEqual([(1, 2), (20, 11)], named['changes']['extents'])

    def test_those_that_are_too_many_are_joined_where_they_are_close(self):
        far = [(1000 * i, 10) for i in range(1, changes.LIMIT)]
        named = self.named([(0, 1), (3, 1), *far])
        self.assertEqual([(0, 4), *far], named['changes']['extents'])
        many = self.named([(2 * i, 1) for i in range(3 * changes.LIMIT)])
        extents = many['changes']['extents']
        self.assertEqual(changes.LIMIT, len(extents))
        self.assertEqual((0, 2 * 2 * changes.LIMIT + 1), extents[0])


class TestNotNamed(ChangesTestCase):
    def assert_not_named(self, asked=0, backup=None, extents=()):
        self.assertEqual({}, self.named(extents, backup))
        self.assertEqual(asked, len(self.file.asked))

    def test_file_knows_nothing(self):
        context = cinder_records.user_context()
        self.assertEqual({}, changes.named(context, self.backup, object()))

    def test_volume_itself_is_backed_up(self):
        self.assert_not_named(backup=cinder_records.backup(self.volume))

    def test_volume_itself_was_backed_up_last(self):
        self.backed_up(days=1)
        self.assert_not_named()

    def test_last_backup_failed_or_is_another_drivers(self):
        self.last.destroy()
        self.backed_up(self.before, status='error')
        self.backed_up(self.before, service='cinder.backup.other')
        self.assert_not_named()

    def test_last_snapshot_is_gone(self):
        self.before.destroy()
        self.assert_not_named()

    def test_asking_fails(self):
        self.assert_not_named(1, extents=OSError('no answer'))

    def test_answer_makes_no_sense(self):
        for wrong in ([(1,)], [(1.0, 2)], [(-1, 2)], [{'offset': 1}], None):
            self.assert_not_named(1, extents=wrong)
