# SPDX-License-Identifier: Apache-2.0
"""The order of writes, and what a crash before each of them leaves."""

import os
from unittest import mock

from ebackup_service.repository import discard
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import repository
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import recording

MIB = 1024 * 1024


def kind_of(key):
    """'data', 'page', or the last part of a key."""
    address = layout.parse_pack(key)
    if address is not None:
        return 'data' if address.kind == location.DATA else 'page'
    return key.rpartition('/')[2] if '/' in key else key


class OrderTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.repo.claim('service', 1)
        self.first = self.backup(os.urandom(2 * MIB))
        data = bytearray(self.first.data)
        for number in range(0, 512, 9):
            data[number * base.CHUNK] ^= 1
        self.changed = bytes(data)
        self.recording = recording.RecordingStorage(self.storage)
        self.recorded = repository.Repository.open(self.recording)

    def second(self):
        return self.backup(
            self.changed,
            base=self.first,
            generation=2,
            repo=self.recorded,
        )

    def crashes(self, run):
        """Run until it isn't stopped any more; before which change it was."""
        for number in range(1000):
            self.recording.changes.clear()
            self.recording.crash_before = number
            try:
                run()
            except recording.Crash:
                yield number
                continue
            self.recording.crash_before = None
            return
        self.fail('it never ends')

    def assert_sound(self):
        report = self.check()
        self.assertEqual([], report.problems)
        self.assertEqual(self.first.data, self.restore(self.first.id))


class BackupTestCase(OrderTestCase):
    def test_order_of_writes(self):
        image = self.second()

        verbs = {verb for verb, _ in self.recording.changes}
        self.assertEqual({'create'}, verbs)
        kinds = [kind_of(key) for _, key in self.recording.changes]
        self.assertEqual(['root', 'commit'], kinds[-2:])
        self.assertEqual(sorted(kinds[:-2]), kinds[:-2])
        self.assertLess(1, kinds.count('data'))
        self.assertEqual(1, kinds.count('page'))
        self.assertEqual(
            [layout.root_key(image.id), layout.commit_key(image.id)],
            [key for _, key in self.recording.changes[-2:]],
        )

    def test_packs_belong_to_the_session(self):
        image = self.second()

        for _, key in self.recording.changes[:-2]:
            self.assertEqual(image.session.id, layout.parse_session(key))

    def test_crash_before_each_write(self):
        before = self.keys()
        crashes = 0
        for _ in self.crashes(self.second):
            crashes += 1
            self.assert_sound()
            marked = [i for i in self.repo.images() if self.repo.is_marked(i)]
            self.assertEqual([self.first.id], marked)

            self.collect()

            self.assertEqual(before, self.keys())
            self.assert_sound()
            good = self.backup(self.changed, base=self.first, generation=3)
            self.assertEqual(self.changed, self.restore(good.id))
            self.repo.delete_image(good.id)
            self.collect()
            self.storage.delete(layout.tombstone_key(good.id))

        # Data packs, a page pack, root, marker.
        self.assertLessEqual(5, crashes)
        self.assert_sound()

    def test_failure_before_each_write_is_cleaned_up(self):
        before = self.keys()
        for _ in self.crashes(self.cleaned_up):
            tombstones = self.keys(layout.TOMBSTONES)
            self.assertEqual(before, self.keys() - tombstones)
        self.assert_sound()

    def cleaned_up(self):
        session = self.recorded.session(base.new_id(), 2)
        with mock.patch.object(self.recorded, 'session', return_value=session):
            try:
                self.second()
            except recording.Crash:
                self.recording.crash_before = None
                session.close()
                for image_id in self.repo.images():
                    if image_id != self.first.id:
                        discard.discard(self.recording, session.id, image_id)
                discard.discard(self.recording, session.id, base.new_id())
                raise


class DeleteTestCase(OrderTestCase):
    def test_order(self):
        self.recorded.delete_image(self.first.id)

        self.assertEqual(
            [
                ('create', layout.tombstone_key(self.first.id)),
                ('delete', layout.commit_key(self.first.id)),
                ('delete', layout.root_key(self.first.id)),
            ],
            self.recording.changes,
        )

    def test_crash_before_each_step(self):
        image = self.second()
        deleted = 0
        for number in self.crashes(
            lambda: self.recorded.delete_image(image.id)
        ):
            self.assert_sound()
            # From the tombstone on it is gone, before it is whole.
            self.assertEqual(number == 0, self.repo.is_marked(image.id))
            deleted += 1

        self.assertEqual(3, deleted)
        self.assertFalse(self.repo.is_marked(image.id))
        self.collect()
        self.assertEqual(
            {self.first.session.id},
            {layout.parse_session(key) for key in self.keys(layout.PACKS)},
        )

    def test_crash_in_a_collection_before_each_step(self):
        image = self.second()
        self.repo.delete_image(image.id)
        self.repo, plain = self.recorded, self.repo
        crashes = 0
        for _ in self.crashes(self.collect):
            crashes += 1
            self.assertEqual(
                self.first.data, self.restore(self.first.id, repo=plain)
            )
        self.repo = plain

        self.assertLessEqual(2, crashes)
        self.assert_sound()
        self.assertEqual(
            {self.first.session.id},
            {layout.parse_session(key) for key in self.keys(layout.PACKS)},
        )

    def test_marker_goes_before_the_root_of_a_dead_image(self):
        image = self.second()
        self.recording.changes.clear()
        self.repo = self.recorded
        self.collect(dead={image.id})

        kinds = [(verb, kind_of(key)) for verb, key in self.recording.changes]
        self.assertEqual(
            [('create', image.id), ('delete', 'commit'), ('delete', 'root')],
            kinds[:3],
        )
        # What was counted is kept while all is there that it speaks of.
        self.assertEqual('create', kinds[3][0])
        self.assertTrue(layout.is_account(self.recording.changes[3][1]))
        self.assertEqual(
            {('delete', 'data'), ('delete', 'page')}, set(kinds[4:])
        )
