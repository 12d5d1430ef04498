# SPDX-License-Identifier: Apache-2.0

import os
import threading

import fixtures
from oslo_db import exception as db_exception
import sqlalchemy as sa

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import service
from ebackup_service.server.catalog import statement
from ebackup_service.server import collection
from ebackup_service.server import deletions
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from tests import base as unit_base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.server.catalog import base

THREADS = 8


def at_once(function):
    """Call it in several threads at the same moment; what they raised."""
    barrier = threading.Barrier(THREADS)
    errors = []

    def call(number):
        barrier.wait()
        try:
            function(number)
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=call, args=(number,))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


class Concurrency:
    """What many threads of several processes do at the same time."""

    def setUp(self):
        super().setUp()
        self.fixture.make_repository()

    def test_generations_of_one_volume_are_unique(self):
        volume_id = catalog_fixture.new_id()
        generations = []

        def reserve(number):
            for _ in range(3):
                image, _ = self.fixture.reserve(volume_id=volume_id)
                generations.append(image.generation)

        self.assertEqual([], at_once(reserve))
        self.assertEqual([*range(1, 3 * THREADS + 1)], sorted(generations))

    def test_one_image_is_created_once(self):
        image_id = catalog_fixture.new_id()
        volume_id = catalog_fixture.new_id()
        found = []

        def reserve(number):
            _, job = self.fixture.reserve(image_id, volume_id=volume_id)
            found.append(job.id)

        self.assertEqual([], at_once(reserve))
        self.assertEqual(1, len(set(found)))

    def test_one_volume_is_restored_by_one_job(self):
        image = self.fixture.make_image()
        volume_id = catalog_fixture.new_id()
        errors = at_once(lambda number: self.fixture.restore(image, volume_id))
        self.assertEqual(THREADS - 1, len(errors))
        self.assertEqual({'volume-busy'}, {error.kind for error in errors})

    def test_job_is_handed_out_once(self):
        self.fixture.announce(max_jobs=100)
        for _ in range(5):
            _, job = self.fixture.reserve()
            self.fixture.attach(job.id)
        handed = []
        self.assertEqual(
            [],
            at_once(lambda number: handed.extend(self.fixture.assign())),
        )
        self.assertEqual(5, len(handed))
        self.assertEqual(5, len(set(handed)))

    def test_lost_job_is_taken_back_once_and_handed_out_once(self):
        self.fixture.announce()
        _, job = self.fixture.reserve()
        lost = self.fixture.run(job.id)
        self.fixture.age(job.id, 20)
        jobs.beat(self.catalog, job.id)
        handed = []

        def tick(number):
            leases.expire(self.catalog, self.fixture.conf)
            handed.extend(self.fixture.assign().values())

        self.assertEqual([], at_once(tick))
        self.assertEqual([lost.token + 1], [spec.token for spec in handed])
        self.assertEqual('running', self.fixture.job(job.id).state)

    def test_upkeep_is_begun_once(self):
        image = self.fixture.make_image()
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        with self.catalog.writer() as session:
            session.execute(sa.update(models.Image).values(updated_at=0))

        def tick(number):
            deletions.resume(self.catalog)
            collection.schedule(self.catalog, self.fixture.conf)

        self.assertEqual([], at_once(tick))
        [deletion] = self.unfinished()
        self.assertEqual('delete', deletion.kind)
        self.fixture.finish(self.fixture.run(deletion.id))
        self.assertEqual([], at_once(tick))
        self.assertEqual(['gc'], [job.kind for job in self.unfinished()])

    def unfinished(self):
        with self.catalog.reader() as session:
            return job_rows.unfinished(session)

    def test_cancellation_does_not_miss_a_job_that_is_handed_out(self):
        self.fixture.announce(max_jobs=100)
        made = []
        for _ in range(THREADS // 2):
            _, job = self.fixture.reserve()
            self.fixture.attach(job.id)
            made.append(job.id)

        def meet(number):
            if number % 2:
                self.fixture.assign()
            else:
                jobs.cancel(self.catalog, made[number // 2], 'Not today.')

        self.assertEqual([], at_once(meet))
        for job_id in made:
            found = self.fixture.job(job_id)
            self.assertTrue(found.finished or found.cancel_reason)

    def test_snapshot_sees_one_instant(self):
        _, job = self.fixture.reserve()
        with self.catalog.snapshot() as session:
            self.assertEqual('pending', job_rows.get(session, job.id).state)
            # Nobody has to wait for it.
            jobs.cancel(self.catalog, job.id)
            self.fixture.reserve()
            self.assertEqual('pending', job_rows.get(session, job.id).state)
            self.assertEqual(1, len(job_rows.unfinished(session)))
        with self.catalog.reader() as session:
            self.assertEqual('cancelled', job_rows.get(session, job.id).state)

    def test_counting_loses_nothing(self):
        def count(number):
            for _ in range(5):
                with self.catalog.writer() as session:
                    statement.changed(
                        session,
                        sa.update(models.Repository).values(
                            garbage=models.Repository.garbage + 1
                        ),
                    )

        self.assertEqual([], at_once(database.retried(count)))
        found = repositories.show(self.catalog, 'default')
        self.assertEqual(5 * THREADS, found.garbage)

    def test_ends_and_deletions_of_the_same_images(self):
        specs = []
        for _ in range(THREADS):
            _, job = self.fixture.reserve()
            spec = self.fixture.run(job.id)
            self.fixture.commit(spec)
            specs.append(spec)

        def meet(number):
            spec = specs[number // 2]
            if number % 2:
                catalog_fixture.images.delete(self.catalog, spec.image.id)
            else:
                self.fixture.finish(spec, result={})

        self.assertEqual([], at_once(meet))
        for spec in specs[: THREADS // 2]:
            image = self.fixture.image(spec.image.id)
            self.assertEqual('deleting', image.state)
            self.assertTrue(self.fixture.job(spec.id).finished)


class TestOnSqlite(Concurrency, base.SqliteTestCase):
    def test_waiting_for_a_writer_is_not_an_error(self):
        written = threading.Event()

        def write():
            with self.catalog.writer() as session:
                service.lock(session)
                written.set()

        with self.catalog.writer() as session:
            clock.read(session)
            thread = threading.Thread(target=write)
            thread.start()
            self.assertFalse(written.wait(0.2))
        thread.join(30)
        self.assertTrue(written.is_set())

    def test_readers_do_not_wait_for_a_writer(self):
        with self.catalog.writer() as session:
            service.lock(session)
            with self.catalog.reader() as other:
                self.assertIsNotNone(
                    other.scalars(sa.select(models.Service)).one()
                )

    def test_failed_transaction_leaves_nothing(self):
        def fail():
            with self.catalog.writer() as session:
                session.execute(sa.delete(models.Service))
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        with self.catalog.writer() as session:
            service.lock(session)

    def test_files_are_not_for_everybody(self):
        directory = self.useFixture(fixtures.TempDir()).path
        conf = self.fixture.make_conf({'DEFAULT': {'state_path': directory}})
        catalog = database.Catalog(conf)
        self.addCleanup(catalog.close)
        catalog.upgrade()
        with catalog.writer() as session:
            service.touch(session)
            modes = {
                name: os.stat(f'{directory}/{name}').st_mode
                for name in os.listdir(directory)
            }
        self.assertEqual(3, len(modes), modes)
        for name, mode in modes.items():
            self.assertEqual(0, mode & 0o027, name)

    def test_mode_of_a_file_that_is_there_is_kept(self):
        path = f'{self.fixture.directory}/ebackup.sqlite'
        os.chmod(path, 0o600)
        again = database.Catalog(self.fixture.conf)
        self.addCleanup(again.close)
        again.upgrade()
        self.assertEqual(0o600, os.stat(path).st_mode & 0o777)

    def test_foreign_keys_are_enforced(self):
        def orphan():
            with self.catalog.writer() as session:
                session.execute(
                    sa.insert(models.Job).values(
                        id='j',
                        kind='gc',
                        state='pending',
                        repository_id='none',
                        parameters={},
                        created_at=0,
                    )
                )

        self.assertRaises(db_exception.DBReferenceError, orphan)

    def test_errors_do_not_say_what_was_to_be_written(self):
        def repeat():
            with self.catalog.writer() as session:
                session.execute(
                    sa.insert(models.Service).values(id=1, uuid='private')
                )

        error = self.assertRaises(db_exception.DBDuplicateEntry, repeat)
        self.assertIn('INSERT', str(error))
        self.assertNotIn('private', str(error))

    def test_identity_survives_an_upgrade(self):
        with self.catalog.writer() as session:
            before = service.lock(session)
        self.catalog.upgrade()
        with self.catalog.writer() as session:
            self.assertEqual(before, service.lock(session))


class TestOnMariaDb(Concurrency, base.MariaDbTestCase):
    def test_any_character_is_kept(self):
        image, _ = self.fixture.reserve(name='\U0001f4be')
        found = catalog_fixture.images.show(self.catalog, image.id)
        self.assertEqual('\U0001f4be', found.name)

    def test_record_may_be_long(self):
        image, _ = self.fixture.reserve(record={'x': 'y' * 100000})
        found = catalog_fixture.images.show(self.catalog, image.id)
        self.assertEqual(100000, len(found.record['x']))


class TestOnPostgreSql(Concurrency, base.PostgreSqlTestCase):
    pass


class TestRetried(unit_base.BaseTestCase):
    def attempts(self, error):
        calls = []

        @database.retried
        def function():
            calls.append(error)
            if len(calls) < 3:
                raise error
            return len(calls)

        return function

    def test_what_may_go_better_next_time_is_repeated(self):
        for error in (
            db_exception.DBDeadlock(),
            db_exception.DBConsistencyError(),
            db_exception.DBDuplicateEntry(),
        ):
            self.assertEqual(3, self.attempts(error)())

    def test_anything_else_is_not(self):
        self.assertRaises(
            ZeroDivisionError, self.attempts(ZeroDivisionError())
        )
