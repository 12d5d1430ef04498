# SPDX-License-Identifier: Apache-2.0
"""Lost packs that are written by who is stopped, overtaken or fenced."""

from unittest import mock

from ebackup_service.repository import compacted_pack
from ebackup_service.repository import copies
from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from ebackup_service.repository import location
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_compaction_stopped
from tests.unit.ebackup_service.repository import test_lost_packs


class StoppedTestCase(test_lost_packs.LostPacksTestCase):
    """A pack has a chunk that nobody needs, and that is left out."""

    def setUp(self):
        super().setUp()
        data = bytearray(self.third.data)
        data[9 * base.CHUNK] ^= 1
        one = self.backup(bytes(data), base=self.first, generation=4)
        whole = self.backup(bytes(data), generation=5)
        data[8 * base.CHUNK] ^= 1
        other = self.backup(bytes(data), base=self.first, generation=6)
        self.key = layout.pack_key(self.locator(7, self.first).pack)
        self.assertLessEqual({7, 8, 9}, {*self.numbers(self.key, self.first)})
        self.assertNotIn(9, self.numbers(self.key, one))
        self.assertNotIn(8, self.numbers(self.key, other))
        self.images = [one, other, whole]
        for image in (self.first, self.second, self.third):
            self.repo.delete_image(image.id)
        self.collect()
        self.whole = self.storage.read(self.key)

    def compacted(self):
        return self.keys(layout.COMPACTED)

    def cut_footer(self):
        self.flip(self.key, self.storage.size(self.key) - 1)

    def locator(self, number, image=None):
        return super().locator(number, image or self.images[0])

    def test_told_to_stop_at_any_time(self):
        self.lose(7)

        calls = base.stop_at_each_check(self.repair, self.look)

        self.assertLess(20, calls)
        self.assert_whole()

    def test_told_to_stop_at_any_time_over_a_damaged_footer(self):
        self.cut_footer()

        calls = base.stop_at_each_check(self.repair, self.look)

        self.assertLess(20, calls)
        self.assert_whole()

    def test_told_to_stop_over_packs_that_nobody_needs(self):
        found = self.found()
        session = layout.session_bytes(base.new_id())
        for ordinal in range(50):
            where = location.PackAddress(session, location.DATA, ordinal)
            found.lose(where, gone=True)
        listed = []
        keys = copies.compacted_keys

        def note(storage, address):
            listed.append(address)
            return keys(storage, address)

        check = mock.Mock(side_effect=[None] * 9 + [KeyError])
        with mock.patch.object(copies, 'compacted_keys', note):
            self.assertRaises(KeyError, self.repair, check, found=found)

        self.assertEqual(9, len(listed))

    def look(self):
        self.assertEqual(set(), self.compacted())
        image = self.images[-1]
        self.assertEqual(image.data, self.restore(image.id))

    def test_storage_that_fails_at_any_write(self):
        self.cut_footer()
        for late in (False, True):
            for writes in range(100):
                repo = test_compaction_stopped.copied(self)
                with test_compaction_stopped.failing(
                    repo.storage, writes, late
                ):
                    problems = self.repair(repo=repo).problems
                for image in self.images:
                    self.assertEqual(image.data, self.restore(image.id, repo))
                if not problems:
                    break
                self.assertIn('away', problems[0])
                self.assertIn(self.key, problems[0])
                # If it was done all the same, nothing is lost any more.
                self.repair(repo=repo)
                self.assertEqual({}, self.found(repo).lost)
                for image in self.images:
                    self.assertEqual(image.data, self.restore(image.id, repo))
            self.assertEqual(3, writes)

    def test_storage_that_fails_at_any_write_of_a_pack_that_is_gone(self):
        self.lose(7)
        for late in (False, True):
            for writes in range(100):
                repo = test_compaction_stopped.copied(self)
                with test_compaction_stopped.failing(
                    repo.storage, writes, late
                ):
                    problems = self.repair(repo=repo).problems
                if not problems:
                    break
                self.assertIn('away', problems[0])
                self.repair(repo=repo)
                self.assertEqual({}, self.found(repo).lost)
                for image in self.images:
                    self.assertEqual(image.data, self.restore(image.id, repo))
            # It is written, and made durable.
            self.assertEqual(2, writes)

    def test_pack_that_comes_back(self):
        """A directory was not mounted, say; or there was a power loss."""
        self.lose(7)
        self.repair()
        [key] = self.compacted()
        self.storage.create(self.key, [self.whole])
        self.assert_whole()

        self.collect()

        self.assertEqual({key}, self.compacted())
        self.assertNotIn(self.key, self.keys())
        self.assert_whole()

    def test_damaged_pack_that_a_power_loss_brings_back(self):
        self.cut_footer()
        damaged = self.storage.read(self.key)
        self.repair()
        self.storage.create(self.key, [damaged])
        asked = len(self.asked)

        self.assertEqual(1, self.repair().packs)

        self.assertEqual(asked, len(self.asked))
        self.assertNotIn(self.key, self.keys())
        self.assert_whole()

    def test_damaged_object_is_the_newest_one(self):
        """By which readers go, though the one before it is whole."""
        self.cut_footer()
        damaged = self.storage.read(self.key)
        self.repair()
        [key] = self.compacted()
        address = layout.parse_pack(self.key)
        newer = bytearray(self.storage.read(key))
        newer[999] ^= 1
        digest = compacted_pack.digest([newer])
        newest = layout.compacted_key(address, 9, digest)
        self.storage.create(newest, [newer])
        self.storage.create(self.key, [damaged])
        found = self.found()

        self.repair(found=found)

        self.assertEqual((0, {}), (len(found), found.lost))
        self.assert_whole()

    def test_more_than_is_told_before_what_is_whole(self):
        self.cut_footer()
        self.repair()
        [key] = self.compacted()
        data = bytearray(self.whole)
        for number in self.numbers(self.key, self.images[0]):
            data[self.locator(number).offset + 99] ^= 1
        self.storage.create(self.key, [data])
        with mock.patch.object(damage, 'TOLD', 3):
            self.assertLess(3, self.repair().records)

        self.assertEqual({key}, self.compacted())
        self.assert_whole()

    def test_storage_that_never_deletes_does_not_fill(self):
        self.cut_footer()
        denied = errors.StorageDenied('denied')
        with mock.patch.object(self.storage, 'delete', side_effect=denied):
            [problem] = self.repair().problems
            before = self.keys()
            self.assertEqual(1, len(self.compacted()))

            self.repair()

        self.assertIn('denied', problem)
        self.assertEqual(before, self.keys())
        self.repair()
        self.assert_whole()

    def damaging(self):
        create = self.storage.create

        def damaging(key, parts):
            data = bytearray(b''.join(parts))
            data[999] ^= 1
            create(key, [data])

        return mock.patch.object(self.storage, 'create', damaging)

    def test_storage_that_writes_something_else_of_a_pack_that_is_gone(self):
        self.lose(7)
        found = self.found()
        with self.damaging():
            self.assertEqual(0, self.repair(found=found).packs)

        # So that the images are told to be damaged.
        self.assertEqual(1, len(found))
        self.repair()
        self.assert_whole()

    def test_storage_that_writes_something_else(self):
        self.cut_footer()
        with self.damaging():
            self.assertEqual(0, self.repair().packs)

        self.assertIn(self.key, self.keys())
        self.repair()
        self.assert_whole()

    def test_no_room(self):
        self.cut_footer()
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            [problem] = self.assert_left().problems

        self.assertIn('full', problem)

    def test_repository_that_is_taken_before_anything_is_written(self):
        """What is left out the other service may need."""
        self.lose(7)
        owner = mock.Mock(side_effect=errors.ForeignOwner('another'))

        self.assertRaises(errors.ForeignOwner, self.repair, owner=owner)

        self.assertEqual(1, len(self.asked))
        self.assertEqual(set(), self.compacted())

    def test_owner_is_read_after_the_catalog_was_asked(self):
        self.lose(7)
        calls = []

        def ask(image_ids):
            calls.append('ask')
            return test_lost_packs.NOBODY

        self.repair(ask=ask, owner=lambda: calls.append('owner'))

        self.assertEqual(['ask', 'owner', 'owner'], calls)

    def test_page_that_is_damaged_when_others_were_looked_at(self):
        """What was found by then is not all."""
        self.lose(7)
        session = self.images[1].session.id  # of the last generation
        [key] = [
            key
            for key in self.keys(layout.session_prefix(session))
            if layout.parse_pack(key).kind == location.PAGE
        ]
        self.flip(key, 300)

        [problem] = self.assert_left().problems

        self.assertIn(key, problem)
        self.flip(key, 300)
        self.assertEqual(1, self.repair().packs)

    def test_server_that_has_given_the_check_up(self):
        class FencedError(Exception):
            pass

        self.lose(7)
        ask = mock.Mock(side_effect=FencedError)

        self.assertRaises(FencedError, self.repair, ask=ask)

        self.assertEqual(set(), self.compacted())

    def overtaken(self, *others):
        """Repair, and let others do something before anything is written."""
        left = iter(others)

        def owner():
            for other in left:
                other()

        return self.repair(owner=owner)

    def delete_one(self):
        """So that still less is needed."""
        self.repo.delete_image(self.images[0].id)
        del self.images[0]

    def test_two_checks_at_once(self):
        for harm in (lambda: self.lose(7), self.cut_footer):
            harm()

            self.overtaken(self.repair)

            self.assert_whole()
            self.collect()
            self.assertLessEqual(len(self.compacted()), 1)
            self.assert_whole()
            for key in self.compacted():
                self.storage.delete(key)
            self.storage.create(self.key, [self.whole])

    def test_check_that_is_overtaken_by_one_that_leaves_out_more(self):
        self.lose(7)

        self.overtaken(self.delete_one, self.repair)

        self.assert_whole()
        self.collect()
        self.assertLessEqual(len(self.compacted()), 1)
        self.assert_whole()

    def test_check_that_is_overtaken_by_collections(self):
        self.cut_footer()
        self.overtaken(self.collect, self.delete_one, self.compact)

        self.assert_whole()
        self.compact()
        self.assert_whole()

    def test_check_that_goes_on_when_nobody_needs_the_pack(self):
        self.lose(7)

        def delete():
            for image in self.images:
                self.repo.delete_image(image.id)

        self.overtaken(delete, self.collect)
        self.assertEqual(1, len(self.compacted()))

        self.collect()
        self.assertEqual(set(), self.compacted())

    def test_backup_that_begins_and_ends_meanwhile(self):
        """It refers to what its base has, and to what it has stored."""
        self.lose(7)

        def backup():
            base_image = self.images[0]
            data = bytearray(base_image.data)
            data[0] ^= 5
            self.images.append(
                self.backup(bytes(data), base=base_image, generation=7)
            )
            self.repo.delete_image(base_image.id)
            self.images.remove(base_image)

        self.overtaken(backup)

        self.collect()
        self.assert_whole()

    def test_backup_that_runs_with_a_base_that_was_deleted(self):
        self.lose(7)
        base_image = self.images.pop(0)
        session = base.new_id()
        pin = (base_image.root.tree, base_image.root.size, base.CHUNK)
        self.repo.delete_image(base_image.id)
        self.answer = liveness.Live(set(), [pin], {session})
        data = bytearray(base_image.data)
        data[0] ^= 5

        def backup():
            self.images.append(
                self.backup(
                    bytes(data),
                    base=base_image,
                    generation=7,
                    session_id=session,
                )
            )

        self.overtaken(backup)

        self.assert_whole()

    def test_repository_that_takes_more_to_write_or_to_check(self):
        self.lose(7)
        for purpose in 'write', 'check':
            with mock.patch.object(
                type(self.repo.config),
                f'require_{purpose}',
                side_effect=errors.UnsupportedFormat(f'newer {purpose}'),
            ):
                repaired = self.assert_left()

            self.assertEqual([f'newer {purpose}'], repaired.problems)
        self.assertEqual([], self.asked)
