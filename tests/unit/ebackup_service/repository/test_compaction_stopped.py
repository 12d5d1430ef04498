# SPDX-License-Identifier: Apache-2.0
"""Compaction that comes upon damage, or no further."""

import contextlib
import functools
import os
import shutil
from unittest import mock

import fixtures

from ebackup_service.repository import collector
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import liveness
from ebackup_service.repository import repository
from ebackup_service.repository.storage import nas
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import test_compaction


class StoppedTestCase(test_compaction.CompactionTestCase):
    def setUp(self):
        super().setUp()
        self.repo.delete_image(self.first.id)
        self.packs = self.data_packs(self.first)

    def collect_as(self, check=base.nothing_to_check, owner=None):
        return collector.collect(
            self.repo,
            lambda ids: liveness.Live(set(), [], set()),
            check,
            owner or base.nothing_to_check,
            whole=True,
            limits=base.COMPACT,
        )

    def test_damaged_record_that_is_needed(self):
        leaf = self.repo.tree(self.second.root).leaf(0)
        where = leaf.locator(0)
        damaged = layout.pack_key(where.pack)
        self.flip(damaged, where.offset + 99)

        result = self.compact()

        self.assertEqual([damaged], self.data_packs(self.first))
        self.assertEqual(len(self.packs) - 1, result.packs_compacted)
        (problem,) = result.compaction_problems
        self.assertIn(damaged, problem)

    def test_damaged_record_that_nobody_needs(self):
        where = self.repo.tree(self.first.root).leaf(0).locator(1)
        self.flip(layout.pack_key(where.pack), where.offset + 99)

        self.compact()

        self.assertEqual([], self.data_packs(self.first))
        self.assert_restores(self.second)

    def test_damaged_footer(self):
        self.flip(self.packs[0], self.storage.size(self.packs[0]) - 1)

        result = self.compact()

        self.assertEqual(self.packs[:1], self.data_packs(self.first))
        self.assertIn(self.packs[0], result.compaction_problems[0])

    def test_pack_that_lacks_a_record(self):
        """A pack is left alone that isn't what pages say."""
        for key in self.packs:
            self.flip(key, 300)
            self.flip(key, self.storage.size(key) - 1)

        self.compact()

        self.assertEqual(self.packs, self.data_packs(self.first))

    def test_no_room(self):
        create = self.storage.create

        def full(key, parts):
            if key.startswith(layout.COMPACTED):
                raise errors.StorageFull('full')
            create(key, parts)

        with mock.patch.object(self.storage, 'create', full):
            result = self.compact()

        self.assertLess(0, result.packs_removed)
        self.assertEqual(('full',), result.compaction_problems)
        self.assertEqual(self.packs, self.data_packs(self.first))

    def failing(self, error, *keys):
        read_into = self.storage.read_into

        def fail(key, offset, buffer):
            if key in keys:
                raise error(key)
            read_into(key, offset, buffer)

        return mock.patch.object(self.storage, 'read_into', fail)

    def test_pack_that_can_not_be_read(self):
        with self.failing(errors.ObjectUnreadable, self.packs[0]):
            result = self.compact()

        (problem,) = result.compaction_problems
        self.assertIn(self.packs[0], problem)
        self.assertEqual(self.packs[:1], self.data_packs(self.first))

    def test_storage_that_is_away(self):
        with self.failing(errors.StorageUnavailable, self.packs[0]):
            self.assertRaises(errors.StorageUnavailable, self.compact)

        self.assertEqual(self.second.data, self.restore(self.second.id))

    def test_page_that_is_gone_since(self):
        """This collection has been given up, then."""
        pages = self.keys(layout.session_prefix(self.second.session.id))
        remove = collector.Collection._remove_packs

        def late(collection):
            remove(collection)
            for key in pages - set(self.data_packs(self.second)):
                self.storage.delete(key)

        with mock.patch.object(collector.Collection, '_remove_packs', late):
            result = self.compact()

        self.assertEqual(1, len(result.compaction_problems))
        self.assertEqual(self.packs, self.data_packs(self.first))

    def test_told_to_stop_at_any_time(self):
        def look():
            self.assertEqual(self.second.data, self.restore(self.second.id))

        calls = base.stop_at_each_check(self.collect_as, look)
        self.assertLess(20, calls)
        self.collect()
        self.assertEqual([], self.data_packs(self.first))
        self.assert_restores(self.second)

    def test_storage_that_fails_at_any_write(self):
        """Before it has done what it was asked for, or after that."""
        for late in (False, True):
            for writes in range(100):
                repo = copied(self)
                with failing(repo.storage, writes, late):
                    try:
                        self.collect_in(repo)
                        break
                    except errors.StorageUnavailable:
                        pass
                self.assertEqual(
                    self.second.data, self.restore(self.second.id, repo)
                )
                self.collect_in(repo)
                left = {
                    layout.parse_compacted(info.key)
                    for info in repo.storage.list(layout.COMPACTED)
                }
                self.assertEqual(set(map(layout.parse_pack, self.packs)), left)
                self.assertEqual(
                    self.second.data, self.restore(self.second.id, repo)
                )
            self.assertLess(2 * len(self.packs), writes)

    def collect_in(self, repo):
        collector.collect(
            repo,
            lambda ids: liveness.Live(set(), [], set()),
            base.nothing_to_check,
            whole=True,
            limits=base.COMPACT,
        )

    def test_owner_is_asked_before(self):
        asked = []

        def owner():
            asked.append(len(self.keys(layout.COMPACTED)))
            if len(asked) == 3:
                raise errors.ForeignOwner('another')

        self.assertRaises(
            errors.ForeignOwner, self.collect_as, base.nothing_to_check, owner
        )
        self.assertEqual([0, 0, 0], asked)
        self.assertEqual(self.packs, self.data_packs(self.first))


def copied(case):
    """A copy of a case's repository."""
    path = os.path.join(
        case.useFixture(fixtures.TempDir(os.path.dirname(case.path))).path,
        'copy',
    )
    shutil.copytree(case.path, path)
    storage = nas.NasStorage(path)
    case.addCleanup(storage.close)
    return repository.Repository.open(storage)


@contextlib.contextmanager
def failing(storage, writes, late):
    """After some writes one fails, which may have been done all the same."""
    create, delete = storage.create, storage.delete
    left = iter(range(writes))

    def fail(write, *args):
        if next(left, None) is not None:
            write(*args)
            return
        if late:
            with contextlib.suppress(errors.ObjectExists):
                write(*args)
        raise errors.StorageUnavailable('away')

    with (
        mock.patch.object(storage, 'create', functools.partial(fail, create)),
        mock.patch.object(storage, 'delete', functools.partial(fail, delete)),
    ):
        yield
