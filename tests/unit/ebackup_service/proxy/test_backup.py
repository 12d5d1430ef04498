# SPDX-License-Identifier: Apache-2.0

import os
import time
from unittest import mock

from ebackup_service.engine import control
from ebackup_service.engine import places
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.proxy import failures
from ebackup_service.proxy import maintenance
from ebackup_service.proxy import patience
from ebackup_service.proxy import restore
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import session as repository_session
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import messages_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK
MIB = 2**20


class BackupTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        self.volume_id = catalog_fixture.new_id()

    def task(self, content, **values):
        path = self.fixture.write_volume(content)
        return self.fixture.backup_task(
            path, volume_id=self.volume_id, **values
        )

    def image(self, task):
        return self.fixture.image(task.image.id)


class TestChanges(BackupTestCase):
    """The driver was told what changed, and tells."""

    def setUp(self):
        super().setUp()
        self.content = bytearray(os.urandom(8 * CHUNK))
        self.first = self.back_up()
        self.content[3 * CHUNK] ^= 1

    def back_up(self, **values):
        self.made = self.task(self.content, **values)
        result = backup.run(self.made)
        self.fixture.finish(self.made.spec, result=result)
        return self.made.image.id

    def assert_backed_up(self, how, read, since, *extents):
        made = self.back_up(changes={'since': since, 'extents': extents})
        result = self.fixture.job(self.made.spec.id).result
        self.assertEqual(
            (how, read), (result['changes'], result['bytes_read'])
        )
        path = self.fixture.write_volume(b'', 'target')
        os.truncate(path, len(self.content))
        image = self.fixture.image(made)
        restore.run(self.fixture.restore_task(image, path))
        with open(path, 'rb') as target:
            self.assertEqual(self.content, target.read())

    def test_only_that_is_read(self):
        self.assert_backed_up('named', CHUNK, self.first, [3 * CHUNK, 5])

    def test_since_another_backup_than_the_last_one(self):
        self.back_up()
        self.assert_backed_up('compared', 8 * CHUNK, self.first)

    def test_what_can_not_be(self):
        for wrong in (
            ([5 * CHUNK, CHUNK], [0, CHUNK]),
            ([0, 2 * CHUNK], [CHUNK, CHUNK]),
            ([7 * CHUNK, 2 * CHUNK],),
        ):
            self.assert_backed_up(
                'compared', 8 * CHUNK, self.made.image.id, *wrong
            )


class TestRun(BackupTestCase):
    def test_image_lies_in_the_repository_with_all_that_was_said(self):
        task = self.task(
            os.urandom(3 * CHUNK),
            record={'display_name': 'x'},
            volume_metadata='{"v": 1}',
        )
        result = backup.run(task)
        repo = self.fixture.open_repository()
        self.assertTrue(repo.is_marked(task.image.id))
        root = repo.root(task.image.id)
        self.assertEqual(3 * CHUNK, root.size)
        self.assertEqual({'display_name': 'x'}, root.record)
        self.assertEqual('{"v": 1}', root.volume_metadata)
        self.assertEqual(self.volume_id, root.chain.volume_id)
        self.assertEqual(task.spec.id, root.session_id)
        self.assertEqual('full', result['kind'])
        self.assertEqual(3 * CHUNK, result['bytes_read'])
        self.assertEqual(3, result['chunks_stored'])
        self.assertIn('free', result['usage'])

    def test_catalog_has_the_same_tree(self):
        task = self.task(os.urandom(CHUNK))
        backup.run(task)
        root = self.fixture.open_repository().root(task.image.id)
        self.assertEqual(root.tree.to_json(), self.image(task).root['tree'])

    def test_second_one_stores_what_changed(self):
        content = bytearray(os.urandom(8 * CHUNK))
        first = self.task(content)
        self.fixture.finish(first.spec, result=backup.run(first))
        content[0] ^= 1
        second = self.task(content)
        result = backup.run(second)
        self.assertEqual('incremental', result['kind'])
        self.assertEqual(1, result['chunks_stored'])
        root = self.fixture.open_repository().root(second.image.id)
        self.assertEqual(first.image.id, root.base_image)

    def test_progress_reaches_the_end(self):
        task = self.task(os.urandom(CHUNK))
        backup.run(task)
        self.assertEqual(100, task.snapshot()['percent'])

    def test_volume_of_zeros(self):
        task = self.task(bytes(5 * CHUNK))
        result = backup.run(task)
        self.assertEqual(0, result['bytes_stored'])
        self.assertIsNone(self.image(task).root['tree'])

    def test_speed_is_limited(self):
        self.fixture.conf.set_override(
            'max_bytes_per_second', 8 * MIB, 'proxy'
        )
        task = self.task(os.urandom(8 * MIB))
        began = time.monotonic()
        backup.run(task)
        # what is read at a time is at most 4 MiB, and the first is free
        self.assertGreater(time.monotonic() - began, 0.4)


class TestRefusal(BackupTestCase):
    def refused(self, error, task):
        self.assertRaises(error, backup.run, task)
        self.assertNotEqual('available', self.image(task).state)
        if error is not repository_errors.ForeignOwner:
            backup.discard(task)
            self.assertEqual(set(), self.fixture.objects())

    def test_less_is_free_than_the_floor(self):
        self.fixture.conf.set_override('minimum_free', 2**62, 'repository')
        self.refused(errors.RepositoryFull, self.task(b'x'))

    def test_volume_has_another_size(self):
        task = self.task(b'xx')
        self.fixture.write_volume(b'x')
        self.refused(production_errors.SizeMismatch, task)

    def test_cancelled_before_the_commit(self):
        task = self.task(os.urandom(CHUNK))
        jobs.cancel(self.catalog, task.spec.id)
        self.refused(errors.Fenced, task)

    def test_lease_over_before_the_commit(self):
        task = self.task(os.urandom(CHUNK))
        self.fixture.age(task.spec.id, 15)
        self.refused(errors.Fenced, task)

    def test_image_deleted_before_the_commit(self):
        task = self.task(os.urandom(CHUNK))
        images.delete(self.catalog, task.image.id)
        self.refused(errors.Fenced, task)

    def test_repository_taken_over_during_the_backup(self):
        task = self.task(os.urandom(CHUNK))
        repo = self.fixture.open_repository()
        task.control.check = lambda: repo.take_over('another', 0)
        self.refused(repository_errors.ForeignOwner, task)

    def test_repository_taken_over_between_commit_and_marker(self):
        # Whoever has it since may have collected what has no marker.
        task = self.task(os.urandom(CHUNK))
        repo = self.fixture.open_repository()
        mark = repository_session.Session.mark_committed

        def late(session, image_id):
            repo.take_over('another', 0)
            mark(session, image_id)

        with mock.patch.object(
            repository_session.Session, 'mark_committed', late
        ):
            self.refused(repository_errors.ForeignOwner, task)

    def test_stopped_in_the_middle(self):
        task = self.task(os.urandom(CHUNK))
        task.control.cancel('Not today.')
        self.refused(control.JobStopped, task)

    def test_server_away_at_the_commit_until_the_lease_ends(self):
        task = self.task(os.urandom(CHUNK))
        self.fixture.bus.break_down()
        task.control.extend(time.monotonic() + 1.0)
        self.refused(control.LeaseLost, task)


class TestResume(BackupTestCase):
    """A run that is lost, and what the next one does."""

    def setUp(self):
        super().setUp()
        self.fixture.conf.set_override('checkpoint_size', 16 * MIB, 'proxy')
        self.content = os.urandom(33 * MIB)

    def next_run(self, task):
        """The job is taken back and handed out again."""
        self.fixture.age(task.spec.id, 18)
        jobs.beat(self.catalog, task.spec.id)
        leases.expire(self.catalog, self.fixture.conf)
        return self.fixture.task(self.fixture.spec(task.spec.id))

    def finish(self, task):
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        self.assertEqual('available', self.image(task).state)
        return result

    def restored(self, task):
        target = self.fixture.write_volume(b'', 'target')
        restore.run(self.fixture.restore_task(self.image(task), target))
        with open(target, 'rb') as file:
            return file.read()

    def lose(self, task, after):
        """Run until that many calls have been answered: the last for ever."""
        calls = [0]

        def sent(method):
            calls[0] += method != 'renew'
            if calls[0] > after:
                task.control.extend(0.0)
            return calls[0] > after

        outage = self.useFixture(messages_fixture.Outage(sent))
        self.assertRaises(control.LeaseLost, backup.run, task)
        outage.left = 0

    def test_goes_on_from_its_last_checkpoint(self):
        first = self.task(self.content)
        self.lose(first, after=2)
        second = self.next_run(first)
        self.assertEqual(2, second.spec.begun.leaf)
        result = self.finish(second)
        self.assertEqual(33 * MIB, result['bytes_read'])
        self.assertEqual(self.content, self.restored(second))

    def test_without_a_checkpoint_it_begins_anew(self):
        first = self.task(self.content)
        first.control.cancel('by the test')
        self.assertRaises(control.JobStopped, backup.run, first)
        second = self.next_run(first)
        self.assertEqual(0, second.spec.begun.leaf)
        self.finish(second)
        self.assertEqual(self.content, self.restored(second))

    def told(self, **options):
        """The leaves of all checkpoints of which a backup tells."""
        for name, value in options.items():
            self.fixture.conf.set_override(name, value, 'proxy')
        with mock.patch.object(
            self.fixture.server,
            'checkpoint',
            wraps=self.fixture.server.checkpoint,
        ) as tell:
            self.finish(self.task(self.content))
        return [call.args[2].leaf for call in tell.call_args_list]

    def test_what_workers_may_be_ahead_is_read_again_like_a_stage(self):
        """A leaf has 16 MiB, and is the least that a stage has."""
        self.patch(places.Share, 'most', 4)
        size = 48 * MIB
        self.assertEqual([2], self.told(checkpoint_size=size, workers=1))
        self.assertEqual([1, 2], self.told(checkpoint_size=size, workers=2))
        self.assertEqual([1, 2], self.told(checkpoint_size=size, workers=4))

    def test_checkpoint_that_is_not_answered_is_told_again(self):
        self.fixture.bus.break_down_for('checkpoint', 1)
        self.assertEqual([1, 1, 2], self.told())

    def test_without_an_answer_no_more_is_read_than_may_be_again(self):
        self.fixture.conf.set_override('workers', 1, 'proxy')
        task = self.task(self.content)
        tries = []

        def refused(method):
            tries.extend([method] * (method == 'checkpoint'))
            if len(tries) == 3:
                task.control.cancel('by the test')
            return method == 'checkpoint'

        outage = self.useFixture(messages_fixture.Outage(refused))
        self.assertRaises(control.JobStopped, backup.run, task)
        outage.left = 0
        self.assertLessEqual(task.snapshot()['bytes_read'], 32 * MIB)
        self.assertIsNone(self.fixture.job(task.spec.id).checkpoint)

    def test_what_is_stored_stays_where_the_server_fails(self):
        failed = errors.ServerFailed('checkpoint failed: KeyError')
        with mock.patch.object(patience, 'until_answered', side_effect=failed):
            error = self.assertRaises(
                errors.Fenced, backup.run, self.task(self.content)
            )
        self.assertIn('KeyError', str(error))
        self.assertTrue(error.retryable)

    def test_lost_before_the_commit_takes_its_root_over(self):
        first = self.task(self.content)
        self.lose(first, after=2)
        root = self.fixture.open_repository().root(first.image.id)
        second = self.next_run(first)
        os.unlink(f'{self.fixture.volumes}/volume')
        result = self.finish(second)
        self.assertEqual(root.statistics['bytes_read'], result['bytes_read'])
        self.assertEqual(self.content, self.restored(second))

    def test_lost_after_the_commit_before_the_marker(self):
        first = self.task(self.content)
        with mock.patch.object(
            repository_session.Session,
            'mark_committed',
            side_effect=control.LeaseLost('lost'),
        ):
            self.assertRaises(control.LeaseLost, backup.run, first)
        second = self.next_run(first)
        self.finish(second)
        self.assertEqual(self.content, self.restored(second))

    def test_run_that_was_given_up_can_not_harm_its_successor(self):
        first = self.task(self.content)
        second = self.next_run(first)
        self.assertRaises(errors.Fenced, backup.run, first)
        self.finish(second)
        self.assertEqual(self.content, self.restored(second))

    def test_base_stays_the_same(self):
        base = self.task(self.content)
        self.finish(base)
        changed = b'x' * CHUNK + self.content[CHUNK:]
        first = self.task(changed)
        self.lose(first, after=1)
        second = self.next_run(first)
        self.assertEqual(base.image.id, second.spec.base.image_id)
        self.assertEqual('incremental', self.finish(second)['kind'])
        self.assertEqual(changed, self.restored(second))

    def test_base_that_was_deleted_between_two_runs_is_built_upon_no_more(
        self,
    ):
        """What the first one took over from it is kept all the same."""
        base = self.task(self.content)
        self.finish(base)
        changed = b'x' * CHUNK + self.content[CHUNK:]
        first = self.task(changed)
        self.lose(first, after=1)
        images.delete(self.catalog, base.image.id)
        repo = self.fixture.open_repository()
        repo.delete_image(base.image.id)
        second = self.next_run(first)
        self.assertEqual(base.image.id, second.spec.base.image_id)
        collection = repositories.collect(self.catalog, 'default')
        collecting = self.fixture.task(self.fixture.spec(collection.id))
        result = maintenance.collect(collecting)
        self.fixture.finish(collecting.spec, result=result)
        self.assertEqual('full', self.finish(second)['kind'])
        collection = repositories.collect(self.catalog, 'default')
        collecting = self.fixture.task(self.fixture.spec(collection.id))
        maintenance.collect(collecting)
        self.assertEqual(changed, self.restored(second))

    def test_lost_reads_are_counted(self):
        first = self.task(self.content)
        self.lose(first, after=1)
        self.fixture.server.renew(
            first.spec.id, first.spec.token, first.snapshot()
        )
        lost = first.snapshot()['bytes_read'] - 16 * MIB
        self.assertLess(0, lost)
        result = self.finish(self.next_run(first))
        self.assertEqual(lost, result['bytes_reread'])
        self.assertLessEqual(lost, 17 * MIB)


class TestStorage(base.BaseTestCase):
    """On a file system of its own."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.mount = self.fixture.mount(4 * MIB)
        self.fixture.create_repository()

    def refused(self, kind):
        path = self.fixture.write_volume(os.urandom(8 * MIB))
        task = self.fixture.backup_task(path)
        try:
            backup.run(task)
        except Exception as error:
            found = failures.describe(task.spec, error)
            self.assertEqual(kind, found.kind)
        else:
            self.fail('not refused')
        return task

    def test_full(self):
        backup.discard(self.refused('repository-full'))
        self.assertEqual(set(), self.fixture.objects())

    def test_full_repository_takes_what_fits_afterwards(self):
        backup.discard(self.refused('repository-full'))
        path = self.fixture.write_volume(os.urandom(MIB))
        self.assertEqual('available', self.fixture.backup(path).state)

    def test_read_only(self):
        self.mount.remount('ro')
        self.refused('repository-read-only')

    def test_gone(self):
        self.mount.unmount()
        self.refused('repository-missing')


class TestBaseOfAnInterruptedBackup(BackupTestCase):
    def lost(self, task, at):
        """A run that stops before one of its last steps."""
        with mock.patch.object(backup, at, side_effect=errors.Fenced('x')):
            self.assertRaises(errors.Fenced, backup.run, task)

    def test_adopted_root_has_all_that_it_reaches(self):
        content = bytearray(os.urandom(8 * CHUNK))
        first = self.task(content)
        self.fixture.finish(first.spec, result=backup.run(first))
        content[0] ^= 1
        second = self.task(content)
        # The candidate root is there, and refers to what the base has.
        self.lost(second, '_commit')
        self.fixture.finish(second.spec, 'returned')

        images.delete(self.catalog, first.image.id)
        handed = self.fixture.assign()
        [deletion] = [s for s in handed.values() if s.kind == 'delete']
        self.fixture.finish(
            deletion, result=maintenance.delete(self.fixture.task(deletion))
        )
        again = self.fixture.task(handed[second.spec.id])
        job = repositories.collect(self.catalog, 'default')
        spec = self.fixture.spec(job.id)
        self.fixture.finish(
            spec, result=maintenance.collect(self.fixture.task(spec))
        )

        self.fixture.finish(again.spec, result=backup.run(again))
        image = images.show(self.catalog, second.image.id)
        self.assertEqual('available', image.state)
        target = self.fixture.write_volume(bytes(len(content)), 'target')
        restore.run(self.fixture.restore_task(image, target))
        with open(target, 'rb') as file:
            self.assertEqual(content, file.read())
