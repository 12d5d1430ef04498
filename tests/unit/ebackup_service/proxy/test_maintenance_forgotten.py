# SPDX-License-Identifier: Apache-2.0
"""Images that failed by the catalog, and have a marker all the same."""

import contextlib
import os
import sqlite3

from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.proxy import failures
from ebackup_service.proxy import maintenance
from ebackup_service.repository import errors as repository_errors
from ebackup_service.server import collection
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.proxy import test_rebuild
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK


def give_up(fixture, task):
    """The driver has gone, and the server notices it."""
    fixture.age(task.spec.id, 600)
    for _ in range(2):
        leases.expire(fixture.catalog, fixture.conf)


class TestForgotten(test_rebuild.RebuildTestCase):
    """The catalog lost all since a backup ran, and nobody took over."""

    def setUp(self):
        super().setUp()
        self.task_of_old = self.old.backup_task(self.path)
        self.image_id = self.task_of_old.image.id
        copy = f'{self.new.directory}/copy.sqlite'
        database = self.old.catalog.engine.url.database
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        self.old.finish(
            self.task_of_old.spec, result=backup.run(self.task_of_old)
        )
        self.assertEqual('available', self.old.image(self.image_id).state)
        self.new = self.useFixture(
            proxy_fixture.Proxy(connection=f'sqlite:///{copy}')
        )

    def fail(self):
        give_up(self.new, self.task_of_old)
        self.assertEqual('error', self.new.image(self.image_id).state)

    def schedule(self):
        collection.schedule(self.new.catalog, self.new.conf)
        [job] = jobs.list(self.new.catalog, kind='gc', state='pending')[0]
        return self.task(job)

    def on_request(self):
        return self.task(repositories.collect(self.new.catalog, 'default'))

    def stopped(self, task):
        before = self.old.objects()
        error = self.assertRaises(
            repository_errors.CatalogOutdated, maintenance.collect, task
        )
        self.assertEqual(before, self.old.objects())
        self.assertTrue(self.repo.is_marked(self.image_id))
        outcome = failures.outcome(task.spec, error, None)
        self.new.finish(task.spec, outcome.state, error=outcome.error)
        return self.new.job(task.spec.id)

    def collect(self):
        task = self.on_request()
        self.new.finish(task.spec, result=maintenance.collect(task))

    def test_collection_stops_before_anything_is_removed(self):
        self.fail()
        job = self.stopped(self.schedule())
        self.assertEqual(
            ('failed', 'catalog-outdated'), (job.state, job.error['kind'])
        )
        self.assertIn(self.image_id, job.error['message'])
        self.assertIn('rebuild-catalog', job.error['message'])
        self.stopped(self.on_request())

    def test_image_of_an_account_stops_it_too(self):
        job = repositories.collect(self.old.catalog, 'default')
        task = self.old.task(self.old.spec(job.id))
        self.old.finish(task.spec, result=maintenance.collect(task))
        self.fail()
        task = self.schedule()
        self.assertFalse(task.spec.whole)
        self.stopped(task)
        self.stopped(self.on_request())

    def test_while_its_job_may_go_on_it_is_kept(self):
        self.collect()
        self.assertTrue(self.repo.is_marked(self.image_id))

    def test_after_a_rebuild_it_is_there(self):
        self.fail()
        self.stopped(self.on_request())
        self.recover()
        self.collect()
        with open(self.path, 'rb') as file:
            self.assertEqual(file.read(), self.restored(self.image_id))

    def test_rebuild_that_came_before_it_failed_is_made_again(self):
        self.recover()
        self.fail()
        self.stopped(self.on_request())
        self.rebuild()
        self.assertEqual('available', self.new.image(self.image_id).state)
        self.collect()

    def test_deleted_on_request_it_goes(self):
        self.fail()
        task = self.task(images.delete(self.new.catalog, self.image_id))
        self.collect()
        self.assertEqual(set(), self.old.objects())
        self.new.finish(task.spec, result=maintenance.delete(task))
        self.collect()


class TestFailed(base.BaseTestCase):
    """The catalog forgot nothing: what failed goes, whatever it has."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.create_repository()
        path = self.fixture.write_volume(os.urandom(CHUNK))
        self.task = self.fixture.backup_task(path)
        self.repo = self.fixture.open_repository()

    def collect(self):
        job = repositories.collect(self.fixture.catalog, 'default')
        task = self.fixture.task(self.fixture.spec(job.id))
        self.fixture.finish(task.spec, result=maintenance.collect(task))

    def assert_gone(self):
        self.assertEqual('error', self.fixture.image(self.task.image.id).state)
        self.collect()
        self.assertEqual(set(), self.fixture.objects())
        self.collect()

    def before_the_marker(self, what):
        """Let something happen when the catalog has taken the commit."""
        commit = self.task.server.commit_image

        def committed(*args):
            decision = commit(*args)
            what()
            return decision

        self.task.server.commit_image = committed

    def refuse(self):
        """It is cancelled when there is a root, and nothing else."""
        jobs.cancel(self.fixture.catalog, self.task.spec.id)
        self.assertRaises(errors.Fenced, backup.run, self.task)
        self.fixture.finish(self.task.spec, 'cancelled')
        self.assertIn(
            f'images/{self.task.image.id}/root', self.fixture.objects()
        )

    def test_end_of_its_last_run_was_lost(self):
        backup.run(self.task)
        self.assertTrue(self.repo.is_marked(self.task.image.id))
        give_up(self.fixture, self.task)
        backup.discard(self.task)
        self.assert_gone()

    def test_run_that_was_given_up_writes_its_marker_late(self):
        self.before_the_marker(lambda: give_up(self.fixture, self.task))
        backup.run(self.task)
        self.assertTrue(self.repo.is_marked(self.task.image.id))
        self.assert_gone()

    def test_run_that_was_given_up_finds_its_image_collected(self):
        def what():
            give_up(self.fixture, self.task)
            self.collect()

        self.before_the_marker(what)
        self.assertRaises(
            repository_errors.RepositoryError, backup.run, self.task
        )
        self.assert_gone()

    def test_cancelled_behind_its_commit(self):
        self.before_the_marker(
            lambda: jobs.cancel(self.fixture.catalog, self.task.spec.id)
        )
        backup.run(self.task)
        self.fixture.finish(self.task.spec, 'cancelled')
        self.assert_gone()

    def test_root_of_which_no_commit_was_taken(self):
        self.refuse()
        self.assert_gone()

    def test_discarded(self):
        self.refuse()
        backup.discard(self.task)
        self.assert_gone()

    def test_discarded_while_it_is_collected(self):
        self.refuse()
        job = repositories.collect(self.fixture.catalog, 'default')
        task = self.fixture.task(self.fixture.spec(job.id))
        live = task.server.live

        def discarded(*args):
            answer = live(*args)
            backup.discard(self.task)
            return answer

        task.server.live = discarded
        self.fixture.finish(task.spec, result=maintenance.collect(task))
        self.assert_gone()
