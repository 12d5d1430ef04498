# SPDX-License-Identifier: Apache-2.0
"""Bugs made on purpose: the tests of power losses find each of them.

All are invisible without a power loss, and to a process that is killed.
"""

import contextlib
import unittest
from unittest import mock

from ebackup_service.repository import compaction
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import lost_packs
from ebackup_service.repository import markers
from ebackup_service.repository import session
from tests import base
from tests.unit.ebackup_service.repository import aftermath
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository.storage import careless
from tests.unit.ebackup_service.repository import test_repository_power_loss

Session = session.Session


class SeededBugTestCase(base.BaseTestCase):
    def assert_found(self, case, name):
        """A test fails, and names what was promised and isn't kept."""
        result = unittest.TestResult()
        # A look at each state suffices, but at each.
        with mock.patch.object(aftermath.Aftermath, 'go_on'):
            with mock.patch.object(test_repository_power_loss, 'MORE', 10):
                getattr(test_repository_power_loss, case)(name).run(result)
        self.assertEqual([], result.errors)
        ((_, failure),) = result.failures
        self.assertIn('EBACKUP_SEED', failure)

    def on(self, storage):
        """All processes use a storage with a bug."""
        return mock.patch.object(proxy.nas, 'NasStorage', storage)

    def test_nothing_is_wrong_with_the_tests(self):
        result = unittest.TestResult()
        test_repository_power_loss.SeriesTestCase('test_full_backup').run(
            result
        )

        self.assertTrue(result.wasSuccessful())

    def test_storages(self):
        for storage in (
            careless.WithoutDirectorySync,
            careless.WithoutSyncAbove,
            careless.WithSyncBeforeLink,
            careless.WithoutFileSync,
            careless.InPlace,
        ):
            with self.on(storage):
                self.assert_found('SeriesTestCase', 'test_full_backup')

    def test_storage_that_takes_what_exists_for_durable(self):
        with self.on(careless.TrustingWhatExists):
            self.assert_found('KilledTestCase', 'test_deletion_is_repeated')
        with self.on(careless.TrustingWhatExists):
            self.assert_found(
                'KilledTestCase', 'test_backup_goes_on_in_another_run'
            )

    def test_root_before_its_packs(self):
        flush, close = Session.flush, Session.close

        def close_late(self):
            flush(self)
            close(self)

        with mock.patch.object(Session, 'flush'):
            with mock.patch.object(Session, 'close', close_late):
                self.assert_found('SeriesTestCase', 'test_incremental_backup')

    def test_marker_before_the_root_is_durable(self):
        with self.on(careless.WithRootsNotSynced):
            self.assert_found('SeriesTestCase', 'test_full_backup')

    def test_acknowledgement_before_the_marker(self):
        commit = services.Service.commit

        def commit_and_acknowledge(self, image_id, root):
            commit(self, image_id, root)
            self.move(image_id, services.State.AVAILABLE)

        with mock.patch.object(
            services.Service, 'commit', commit_and_acknowledge
        ):
            self.assert_found('SeriesTestCase', 'test_full_backup')

    def test_candidate_that_is_taken_for_durable(self):
        candidate = Session.candidate

        def trusting(self, image_id):
            with mock.patch.object(self._storage, 'create'):
                return candidate(self, image_id)

        with mock.patch.object(Session, 'candidate', trusting):
            self.assert_found(
                'KilledTestCase', 'test_backup_goes_on_in_another_run'
            )

    def test_deletion_without_a_tombstone(self):
        with mock.patch.object(images, 'delete', images.remove):
            self.assert_found('SeriesTestCase', 'test_deletion')

    def test_tombstone_after_the_deletion(self):
        def delete(storage, image_id):
            images.remove(storage, image_id)
            tombstone = markers.Tombstone(image_id)
            with contextlib.suppress(errors.ObjectExists):
                storage.create(
                    layout.tombstone_key(image_id), [tombstone.to_bytes()]
                )

        with mock.patch.object(images, 'delete', delete):
            self.assert_found('SeriesTestCase', 'test_deletion')

    def test_collection_that_takes_a_tombstone_for_durable(self):
        delete = images.delete

        def trusting(storage, image_id):
            if images.is_deleted(storage, image_id):
                images.remove(storage, image_id)
            else:
                delete(storage, image_id)

        with mock.patch.object(images, 'delete', trusting):
            self.assert_found(
                'KilledTestCase', 'test_collection_meets_half_a_deletion'
            )

    def test_repair_that_takes_a_tombstone_for_durable(self):
        write = lost_packs.LostPacks.write

        def trusting(self, *args):
            self._deleted.clear()
            return write(self, *args)

        with mock.patch.object(lost_packs.LostPacks, 'write', trusting):
            self.assert_found(
                'KilledTestCase',
                'test_repair_of_lost_packs_meets_half_a_deletion',
            )

    def test_compaction_before_it_is_durable(self):
        with self.on(careless.WithCompactedNotSynced):
            self.assert_found('SeriesTestCase', 'test_compaction')

    def test_collection_that_takes_what_is_compacted_for_durable(self):
        settle = compaction.settle

        def trusting(repo, address):
            with mock.patch.object(repo.storage, 'create'):
                return settle(repo, address)

        with mock.patch.object(compaction, 'settle', trusting):
            self.assert_found(
                'KilledTestCase', 'test_collection_meets_half_a_compaction'
            )
