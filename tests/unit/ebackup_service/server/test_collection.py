# SPDX-License-Identifier: Apache-2.0

import threading

import sqlalchemy as sa

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service
from ebackup_service.server import collection
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture


class CollectionTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.repository_id = self.fixture.make_repository()

    def delete(self, image):
        return images.delete(self.catalog, image.id)


class TestLive(CollectionTestCase):
    def setUp(self):
        super().setUp()
        job = repositories.collect(self.catalog, 'default')
        self.gc = self.fixture.run(job.id)

    def live(self, *image_ids, token=None):
        return collection.live(
            self.catalog,
            self.gc.id,
            self.gc.token if token is None else token,
            image_ids,
        )

    def test_only_a_collection_or_a_check_is_told(self):
        available = self.fixture.make_image()
        self.fixture.finish(self.gc)
        check = repositories.check(self.catalog, 'default', 1.0)
        self.gc = self.fixture.run(check.id)
        answer = self.live()
        self.assertTrue(answer.accepted)
        self.assertEqual(1, len(answer.pins))
        self.assertEqual([], self.live(available.id).pins)
        self.assertFalse(self.live(token=self.gc.token - 1).accepted)
        self.fixture.finish(self.gc)
        self.assertFalse(self.live().accepted)
        self.gc = self.fixture.run(self.delete(available).id)
        self.assertFalse(self.live().accepted)

    def test_images_in_use_are_not_dead(self):
        available = self.fixture.make_image()
        creating, _ = self.fixture.reserve()
        answer = self.live(available.id, creating.id)
        self.assertTrue(answer.accepted)
        self.assertEqual([], answer.dead)

    def test_failed_deleting_and_deleted_images_are_dead(self):
        failed, job = self.fixture.reserve()
        jobs.cancel(self.catalog, job.id)
        deleting = self.fixture.make_image()
        self.delete(deleting)
        deleted = self.fixture.make_image()
        job = self.delete(deleted)
        self.fixture.finish(self.fixture.run(job.id))
        never_seen = catalog_fixture.new_id()
        images.delete(self.catalog, never_seen)
        dead = {failed.id, deleting.id, deleted.id, never_seen}
        self.assertEqual(dead, set(self.live(*dead).dead))

    def test_failed_images_of_which_no_commit_was_taken(self):
        failed, job = self.fixture.reserve()
        jobs.cancel(self.catalog, job.id)
        committed, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        self.fixture.commit(spec)
        self.fixture.finish(spec, 'failed')
        creating, _ = self.fixture.reserve()
        deleting, job = self.fixture.reserve()
        jobs.cancel(self.catalog, job.id)
        self.delete(deleting)
        made = self.fixture.make_image()
        asked = failed, committed, creating, deleting, made
        answer = self.live(*(image.id for image in asked))
        self.assertEqual([failed.id], answer.uncommitted)
        self.assertEqual(
            {failed.id, committed.id, deleting.id}, set(answer.dead)
        )

    def test_unknown_images_are_not_dead(self):
        self.assertEqual([], self.live(catalog_fixture.new_id()).dead)

    def test_images_of_another_repository_are_not_dead_here(self):
        self.fixture.make_repository('other')
        image, job = self.fixture.reserve(repository='other')
        jobs.cancel(self.catalog, job.id)
        self.assertEqual([], self.live(image.id).dead)

    def test_more_images_than_one_query_can_name(self):
        failed, job = self.fixture.reserve()
        jobs.cancel(self.catalog, job.id)
        many = [catalog_fixture.new_id() for _ in range(1200)]
        self.assertEqual([failed.id], self.live(*many, failed.id).dead)

    def test_sessions_are_the_backups_that_run_or_will(self):
        _, pending = self.fixture.reserve()
        _, running = self.fixture.reserve()
        self.fixture.run(running.id)
        self.fixture.make_image()
        self.assertEqual({pending.id, running.id}, set(self.live().sessions))

    def test_restore_pins_its_image_even_when_that_is_deleted(self):
        image = self.fixture.make_image()
        restore = self.fixture.restore(image)
        self.delete(image)
        answer = self.live(image.id)
        self.assertEqual([image.id], answer.dead)
        self.assertEqual([image.id], [pin.image_id for pin in answer.pins])
        jobs.cancel(self.catalog, restore.id)
        self.assertEqual([], self.live(image.id).pins)

    def test_backup_pins_its_base_even_when_that_is_deleted(self):
        base_image = self.fixture.make_image()
        _, job = self.fixture.reserve(volume_id=base_image.volume_id)
        spec = self.fixture.run(job.id)
        self.delete(base_image)
        self.assertEqual(
            [base_image.id],
            [pin.image_id for pin in self.live(base_image.id).pins],
        )
        self.fixture.finish(spec, 'failed')
        self.assertEqual([], self.live(base_image.id).pins)

    def test_available_image_that_the_listing_missed_is_pinned(self):
        listed, missed = self.fixture.make_image(), self.fixture.make_image()
        answer = self.live(listed.id)
        self.assertEqual([missed.id], [pin.image_id for pin in answer.pins])
        self.assertEqual([missed.id], answer.missed)
        self.fixture.run(self.fixture.restore(missed).id)
        self.assertEqual([], self.live(listed.id).missed)

    def test_collection_that_was_given_up_learns_nothing(self):
        self.assertFalse(self.live(token=self.gc.token - 1).accepted)
        self.fixture.finish(self.gc)
        self.assertFalse(self.live().accepted)

    def test_nobody_waits_for_the_answer(self):
        image = self.fixture.make_image()
        asked = []
        with self.catalog.writer() as session:
            service.lock(session)
            service.touch(session)
            thread = threading.Thread(
                target=lambda: asked.append(self.live(image.id)), daemon=True
            )
            thread.start()
            thread.join(10)
            self.assertEqual(1, len(asked))
        self.assertTrue(asked[0].accepted)

    def test_as_many_statements_for_many_images_as_for_few(self):
        made = [self.fixture.make_image().id]
        few = self.statements(lambda: self.live(*made))
        with self.catalog.writer() as session:
            more = [
                {'id': catalog_fixture.new_id(), **self.row()}
                for _ in range(1500)
            ]
            session.execute(sa.insert(models.Image), more)
        made += [row['id'] for row in more]
        self.assertEqual(few, self.statements(lambda: self.live(*made)))

    def row(self):
        return {
            'repository_id': self.repository_id,
            'state': 'available',
            'damaged_bytes': 0,
            'restore_damaged': False,
            'created_at': 1,
            'updated_at': 1,
        }

    def statements(self, function):
        seen = []

        def note(connection, cursor, statement, *rest):
            seen.append(statement)

        engine = self.catalog.engine
        sa.event.listen(engine, 'before_cursor_execute', note)
        try:
            function()
        finally:
            sa.event.remove(engine, 'before_cursor_execute', note)
        return len(seen)

    def test_only_a_collection_is_answered(self):
        _, job = self.fixture.reserve()
        self.gc = self.fixture.run(job.id)
        self.assertFalse(self.live().accepted)


class TestSchedule(CollectionTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.announce()

    def schedule(self):
        collection.schedule(self.catalog, self.fixture.conf)
        found, _ = jobs.list(self.catalog, kind='gc')
        return [job for job in found if not job.finished]

    def litter(self):
        image = self.fixture.make_image()
        job = self.delete(image)
        self.fixture.finish(self.fixture.run(job.id))

    def rest(self):
        """Let the pause after a collection be over."""
        with self.catalog.writer() as session:
            repository_rows.update(
                session, self.repository_id, collect_after=0
            )

    def test_clean_repository_is_left_alone(self):
        self.fixture.make_image()
        self.assertEqual([], self.schedule())

    def test_deletion_is_followed_by_a_collection(self):
        self.litter()
        self.assertEqual(1, len(self.schedule()))

    def test_failed_backup_is_followed_by_a_collection(self):
        _, job = self.fixture.reserve()
        jobs.cancel(self.catalog, job.id)
        self.assertEqual(1, len(self.schedule()))

    def test_one_is_enough(self):
        self.litter()
        self.schedule()
        self.assertEqual(1, len(self.schedule()))

    def test_busy_repository_is_collected_when_it_is_time(self):
        self.litter()
        self.fixture.reserve()
        self.assertEqual([], self.schedule())
        self.fixture.conf.set_override('gc_interval', 0.001, 'server')
        self.assertEqual(1, len(self.schedule()))

    def test_interval_of_zero_turns_it_off(self):
        self.litter()
        self.fixture.conf.set_override('gc_interval', 0, 'server')
        self.assertEqual([], self.schedule())

    def test_repository_that_is_not_ready_is_left_alone(self):
        self.litter()
        with self.catalog.writer() as session:
            repository_rows.update(session, self.repository_id, state='error')
        self.assertEqual([], self.schedule())

    def sweep(self, ago):
        """Let everything have been looked at so many seconds ago."""
        with self.catalog.writer() as session:
            now = clock.read(session)
            repository_rows.update(
                session,
                self.repository_id,
                swept_at=now - round(ago * 1000),
                created_at=0,
            )

    def test_what_has_changed_is_looked_at(self):
        self.litter()
        [job] = self.schedule()
        self.assertFalse(self.fixture.run(job.id).whole)

    def test_everything_is_looked_at_when_it_is_time(self):
        self.litter()
        self.sweep(7 * 86400 + 1)
        [job] = self.schedule()
        spec = self.fixture.run(job.id)
        self.assertTrue(spec.whole)
        self.fixture.finish(spec)

        self.rest()
        self.litter()
        [job] = self.schedule()
        self.assertFalse(self.fixture.run(job.id).whole)

    def test_everything_is_looked_at_after_the_clock_was_set_back(self):
        self.litter()
        self.sweep(-60)
        [job] = self.schedule()
        self.assertTrue(self.fixture.run(job.id).whole)

    def test_everything_is_looked_at_each_time_if_that_is_wanted(self):
        self.litter()
        self.fixture.conf.set_override('gc_whole_interval', 0, 'server')
        [job] = self.schedule()
        self.assertTrue(self.fixture.run(job.id).whole)

    def test_after_one_that_could_not_look_at_everything(self):
        """For a damaged page, say: what has changed may be whole."""
        self.litter()
        self.sweep(7 * 86400 + 1)
        for whole in (True, False, True):
            [job] = self.schedule()
            spec = self.fixture.run(job.id)
            self.assertEqual(whole, spec.whole)
            self.fixture.finish(spec, 'failed' if whole else 'succeeded')
            if not whole:
                self.litter()
            self.rest()

    def test_everything_is_looked_at_on_request(self):
        self.litter()
        [waiting] = self.schedule()
        job = repositories.collect(self.catalog, 'default')
        self.assertNotEqual(waiting.id, job.id)
        again = repositories.collect(self.catalog, 'default')
        self.assertEqual(job.id, again.id)
        self.fixture.finish(self.fixture.run(waiting.id))
        self.assertTrue(self.fixture.run(job.id).whole)

    def test_collection_settles_what_was_known_when_it_was_planned(self):
        self.litter()
        [job] = self.schedule()
        spec = self.fixture.run(job.id)
        self.litter()
        self.fixture.finish(spec)
        found = repositories.show(self.catalog, 'default')
        self.assertEqual(1, found.garbage)
        self.assertIsNotNone(found.collected_at)

    def test_garbage_is_taken_off_once_by_two_collections(self):
        self.litter()
        [first] = self.schedule()
        spec = self.fixture.run(first.id)
        second = repositories.collect(self.catalog, 'default')
        self.assertNotEqual(first.id, second.id)
        self.fixture.finish(spec)
        self.fixture.finish(self.fixture.run(second.id))
        found = repositories.show(self.catalog, 'default')
        self.assertEqual(0, found.garbage)

    def test_collection_that_no_proxy_took_is_not_tried_again_at_once(self):
        self.litter()
        [job] = self.schedule()
        self.fixture.age_proxy('here', 60)
        self.fixture.age(job.id, 60)
        self.assertEqual({}, self.fixture.assign())
        self.assertEqual('failed', self.fixture.job(job.id).state)
        self.fixture.announce()
        self.assertEqual([], self.schedule())

    def test_nothing_is_planned_while_no_proxy_is_alive(self):
        self.litter()
        self.fixture.age_proxy('here', 60)
        self.assertEqual([], self.schedule())

    def test_next_one_comes_after_a_pause(self):
        self.litter()
        [job] = self.schedule()
        self.fixture.finish(self.fixture.run(job.id))
        self.litter()
        self.assertEqual([], self.schedule())
        self.rest()
        self.assertEqual(1, len(self.schedule()))

    def test_failed_one_is_tried_again_later(self):
        self.litter()
        [job] = self.schedule()
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        self.assertEqual([], self.schedule())
        self.rest()
        self.assertEqual(1, len(self.schedule()))
