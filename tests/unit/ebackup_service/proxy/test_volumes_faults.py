# SPDX-License-Identifier: Apache-2.0
"""A storage that fails, is slow, or is changed behind our back.

Whatever happens, a backup fails or is right, the next one is right, and of
what was taken nothing is left that nobody knows.
"""

import queue
import threading

from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import failures
from ebackup_service.proxy import release
from ebackup_service.proxy import restore
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server import images
from ebackup_service.server import snapshots
from ebackup_service.server import storages
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import faulty
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.proxy import volumes_case

SIZE = volumes_case.SIZE
AWAY = production_errors.SourceUnavailable('no answer')
# All that a backup of a volume with an anchor asks of its storage.
CALLS = ('find', 'take_snapshot', 'open_source', 'extents', 'read', 'confirm')


class FaultsTestCase(volumes_case.VolumesTestCase):
    """Proxies reach the storage through one that fails when it is told to."""

    def setUp(self):
        super().setUp()
        self.faults = faulty.Faults()

        def from_conf(cls, conf, settings, *others):
            storage = faulty.Storage(cls(settings['directory']))
            storage.faults = self.faults
            return storage

        self.patch(folder.FolderStorage, 'from_conf', classmethod(from_conf))
        self.first, _ = self.back_up()
        self.before = self.content()
        for chunk in (3, 25):
            self.change(chunk)

    def task(self, **volume):
        """Faults are counted from here."""
        self.faults = faulty.Faults()
        return super().task(**volume)

    def meanwhile(self, verb, change, number=1):
        """Somebody changes something at a call of ours."""

        def fault(call, *arguments):
            change()
            return call(*arguments)

        self.faults.at(verb, number, fault)

    def drop_all(self):
        lun = self.lun()
        for number, name in lun.snapshots().items():
            lun.drop_snapshot(production.Snapshot(number, name))

    def let_an_hour_pass(self):
        with self.catalog.writer() as session:
            session.execute(
                snapshot_rows.sa.update(snapshot_rows.models.Snapshot).values(
                    release_after=0
                )
            )

    def assert_right_again(self):
        self.change(7)
        image, _ = self.back_up()
        self.assertEqual(self.content(), self.restored(image))
        self.let_an_hour_pass()
        self.tidy()


class TestFailing(FaultsTestCase):
    def assert_fails(self, verb, fault, error):
        self.change(12)
        task = self.task()
        self.faults.at(verb, 1, fault)
        self.assertRaises(type(error), backup.run, task)
        self.fixture.finish(task.spec, 'failed')
        self.assertIn(verb, self.faults.calls)
        self.assert_right_again()

    def test_it_is_away_at_whatever_call(self):
        for verb in CALLS:
            with self.subTest(verb):
                self.assert_fails(verb, faulty.fail(AWAY), AWAY)
        self.assertEqual(self.before, self.restored(self.first))

    def test_answer_to_whatever_call_is_lost(self):
        for verb in CALLS:
            with self.subTest(verb):
                self.assert_fails(verb, faulty.lose(AWAY), AWAY)
        self.assertEqual(self.before, self.restored(self.first))

    def test_what_it_says_of_changes_is_believed_no_more(self):
        """It breaks off in the middle of them."""
        task = self.task()
        error = production_errors.DifferenceUnavailable('the bitmap is gone')
        self.faults.at('extent', 2, faulty.fail(error))
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        self.assertEqual('compared', result['changes'])
        self.assert_right_again()

    def test_wrong_credentials_are_tried_once(self):
        error = production_errors.AccessDenied('the key was changed')
        task = self.task()
        self.faults.always('find', faulty.fail(error))
        self.assertRaises(type(error), backup.run, task)
        self.assertEqual(1, self.faults.calls.count('find'))
        self.fixture.finish(task.spec, 'failed')
        target = self.fixture.restore(
            self.first,
            self.volume_id,
            volume={**folder.volume('volume'), 'size': SIZE},
            volume_is_new=False,
        )
        task = self.again(target.id)
        self.assertRaises(type(error), restore.run, task)
        self.assertEqual(2, self.faults.calls.count('find'))

    def test_snapshot_that_was_dropped_without_an_answer(self):
        self.back_up()
        self.assertEqual(1, len(self.known(state='condemned')))
        self.faults = faulty.Faults()
        self.faults.at('drop_snapshot', 1, faulty.lose(AWAY))
        self.announce()
        snapshots.schedule(self.catalog, self.conf)
        [spec] = self.fixture.assign().values()
        task = self.fixture.task(spec)
        self.assertRaises(type(AWAY), release.run, task)
        self.fixture.finish(spec, 'failed')
        self.assertEqual(1, len(self.known(state='condemned')))
        self.assert_right_again()


class TestRefused(FaultsTestCase):
    """Somebody changed the key, which is in the catalog."""

    values = {'credentials': {'key': 'old'}}

    def setUp(self):
        super().setUp()
        task = self.task()
        error = production_errors.CredentialsRefused('the key was changed')
        self.faults.always('find', faulty.fail(error))
        raised = self.assertRaises(type(error), backup.run, task)
        self.fixture.finish(
            task.spec, 'failed', error=failures.describe(task.spec, raised)
        )

    def ask(self):
        """What becomes of another backup."""
        _, job = self.fixture.reserve(
            size=SIZE, volume=folder.volume('volume')
        )
        self.announce()
        self.fixture.assign()
        return self.fixture.job(job.id)

    def test_others_do_not_try_it(self):
        for _ in range(3):
            job = self.ask()
            self.assertEqual('failed', job.state)
            self.assertEqual('credentials-refused', job.error['kind'])

    def test_with_the_right_key_all_is_well(self):
        storages.update(
            self.catalog, self.conf, 'one', credentials={'key': 'new'}
        )
        self.assert_right_again()


class TestSlow(FaultsTestCase):
    def test_it_is_waited_for(self):
        """Whatever it is asked; meanwhile the job makes nothing of it."""
        asked = queue.SimpleQueue()

        def late(verb):
            answers = threading.Event()

            def fault(call, *arguments):
                asked.put((verb, answers))
                answers.wait()
                return call(*arguments)

            return fault

        task = self.task()
        for verb in CALLS:
            self.faults.at(verb, 1, late(verb))
        results = []
        job = threading.Thread(
            target=lambda: results.append(backup.run(task)), daemon=True
        )
        job.start()
        waited = []
        for _ in CALLS:
            verb, answers = asked.get(timeout=catalog_fixture.PATIENCE)
            self.assertTrue(asked.empty())
            job.join(0.1)
            self.assertTrue(job.is_alive())
            answers.set()
            waited.append(verb)
        job.join(catalog_fixture.PATIENCE)
        self.assertEqual(set(CALLS), set(waited))
        self.fixture.finish(task.spec, result=results[0])
        self.assertEqual('named', results[0]['changes'])
        self.assert_right_again()


class TestRemovedWhileRead(FaultsTestCase):
    def test_nothing_is_made_of_it(self):
        task = self.task()
        self.meanwhile('read', self.drop_all)
        self.assertRaises(production_errors.SnapshotUnknown, backup.run, task)
        self.fixture.finish(task.spec, 'failed')
        self.assertEqual(1, self.faults.calls.count('confirm'))
        self.assert_right_again()


class TestRemovedWhileReadInShadow(TestRemovedWhileRead):
    values = {'trust': 'shadow'}

    def test_nothing_is_said_of_what_was_missed(self):
        """What was listed afterwards need not be of the snapshot either."""
        task = self.task()
        self.meanwhile('confirm', self.drop_all, 2)
        self.assertRaises(production_errors.SnapshotUnknown, backup.run, task)
        self.fixture.finish(task.spec, 'failed')
        self.assertNotIn('missed_extents', task.notes)
        self.assert_right_again()


class TestBehindOurBack(FaultsTestCase):
    def test_anchor_is_removed_before_it_is_compared_with(self):
        task = self.task()
        self.meanwhile('take_snapshot', self.drop_all)
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        self.assertEqual('compared', result['changes'])
        self.assert_right_again()

    def drop_anchor(self):
        [name] = self.known(state='anchor')
        lun = self.lun()
        lun.drop_snapshot(lun.find_snapshot(name))

    def test_anchor_is_removed_while_changes_are_listed(self):
        task = self.task()
        self.meanwhile('extent', self.drop_anchor, 2)
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        self.assertEqual('compared', result['changes'])
        self.assertIn('is gone', result['changes_reason'])
        self.assertEqual('incremental', result['kind'])
        image = images.show(self.catalog, task.image.id)
        self.assertEqual(self.content(), self.restored(image))
        self.assert_right_again()

    def test_anchor_is_removed_while_a_restore_compares(self):
        self.back_up()
        for chunk in (4, 26):
            self.change(chunk)
        job = self.fixture.restore(
            *(self.first, self.volume_id),
            volume={**folder.volume('volume'), 'size': SIZE},
            volume_is_new=False,
        )
        task = self.again(job.id)
        self.faults = faulty.Faults()
        self.meanwhile('extent', self.drop_anchor, 2)
        result = restore.run(task)
        self.fixture.finish(task.spec, result=result)
        self.assertEqual('compared', result['changes'])
        self.assertIn('is gone', result['changes_reason'])
        self.assertEqual(self.before, self.content())
        self.assert_right_again()

    def test_snapshot_is_removed_before_it_is_read(self):
        task = self.task()
        self.meanwhile('open_source', self.drop_all)
        self.assertRaises(production_errors.SnapshotUnknown, backup.run, task)
        self.fixture.finish(task.spec, 'failed')
        self.assert_right_again()

    def test_volume_is_deleted_during_the_backup(self):
        error = production_errors.VolumeUnknown('there is none any more')

        def fault(call, *arguments):
            self.storage.remove('volume')
            raise error

        for verb in ('find', 'take_snapshot', 'open_source'):
            with self.subTest(verb):
                task = self.task()
                self.faults.at(verb, 1, fault)
                self.assertRaises(type(error), backup.run, task)
                self.fixture.finish(task.spec, 'failed')
                # Another one has its name.
                self.storage.make('volume', SIZE)
                self.assert_right_again()
        self.assertEqual(self.before, self.restored(self.first))
