# SPDX-License-Identifier: Apache-2.0
import random
import sys
import threading
import time

import fixtures
from testtools import content as details

from ebackup_service.engine import control
from ebackup_service.engine import crew
from ebackup_service.engine import places
from ebackup_service.engine import progress
from ebackup_service.engine import restore
from tests import base
from tests.unit.ebackup_service.engine import volumes

LEAF = volumes.LEAF


class Job:
    """Workers whose tasks are short, or last until they are let go on."""

    def __init__(
        self, share, workers, tasks, held, need=(0, 0), at_task=lambda: None
    ):
        self.share = share
        self.need = need
        share.need(*need)
        self.at_task = at_task
        self.control = control.Control()
        self.crew = crew.Crew(self.control)
        self.tasks = crew.Shared(range(tasks))
        self.goes_on = threading.Event()
        if not held:
            self.goes_on.set()
        self.given_back = 0
        self.done = []
        self.failure = None
        self._workers = [share.place() for _ in range(workers)]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()

    def end(self):
        self.control.cancel('over')
        self.goes_on.set()
        self.join()

    def _run(self):
        try:
            self.crew.run(
                [lambda one=one: self._work(one) for one in self._workers]
            )
        except control.JobStopped as error:
            self.failure = error
        for one in self._workers:
            one.close()

    def _work(self, place):
        for task in place.work(self.tasks, self.crew.check, self._give_back):
            self.crew.check()
            self.goes_on.wait()
            self.at_task()
            self.done.append(task)
            time.sleep(0.001)

    def _give_back(self):
        self.given_back += 1


class PlacesTestCase(base.BaseTestCase):
    ROOM, SIZE = 4, 1

    def setUp(self):
        super().setUp()
        self.places = places.Places(self.ROOM, self.SIZE)

    def job(self, workers=4, tasks=sys.maxsize, held=False, **more):
        job = Job(self.places.share(), workers, tasks, held, **more)
        self.addCleanup(job.end)
        job.start()
        return job

    def wait_for(self, *wanted):
        """Until jobs have so many places; pairs of both."""
        with self.places.changed:
            found = self.places.changed.wait_for(
                lambda: all(job.share.taken == count for job, count in wanted),
                30,
            )
            self.assertTrue(found, [job.share.taken for job, _ in wanted])

    def waits(self, job):
        """Until one worker of a job, and no other one, waits."""
        end = time.monotonic() + 30
        with self.places.changed:
            # Nobody tells that somebody begins to wait.
            while self.places.waiting != [job.share]:
                self.assertLess(time.monotonic(), end)
                self.places.changed.wait(0.01)


class PlacesTest(PlacesTestCase):
    def test_room_is_for_a_place_at_least(self):
        self.assertRaises(ValueError, places.Places, 0)
        self.assertRaises(ValueError, places.Places, 9, 10)

    def test_one_job_has_all_that_it_wants(self):
        self.wait_for((self.job(), 4))

    def test_more_workers_than_places_wait(self):
        job = self.job(workers=6, tasks=8, held=True)
        self.wait_for((job, 4))
        job.goes_on.set()
        job.join()
        self.assertEqual(list(range(8)), sorted(job.done))
        self.assertEqual(
            (4, 0, []),
            (self.places.free, job.share.taken, self.places.waiting),
        )

    def test_second_job_gets_half(self):
        first = self.job()
        self.wait_for((first, 4))
        second = self.job()
        self.wait_for((first, 2), (second, 2))
        self.assertLess(1, first.given_back)

    def test_no_more_workers_are_sent_away_than_others_need(self):
        first = self.job(held=True)
        self.wait_for((first, 4))
        self.waits(self.job(workers=1, held=True))
        self.assertTrue(first.share.is_wanted())
        self.assertFalse(first.share.is_wanted())

    def test_none_is_sent_away_by_a_job_that_would_have_more_then(self):
        first = self.job(workers=2, held=True)
        self.wait_for((first, 2))
        second = self.job(workers=1, held=True)
        self.wait_for((second, 1))
        third = self.job(workers=2, held=True)
        self.wait_for((third, 1))
        self.waits(third)
        self.assertFalse(first.share.is_wanted())

    def test_nobody_takes_what_a_job_is_busy_with(self):
        first = self.job(held=True)
        self.wait_for((first, 4))
        second = self.job()
        self.wait_for((first, 4), (second, 0))
        first.goes_on.set()
        self.wait_for((first, 2), (second, 2))

    def test_as_many_jobs_as_places_have_one_each(self):
        jobs = [self.job() for _ in range(4)]
        self.wait_for(*[(job, 1) for job in jobs])

    def test_places_of_a_job_that_ends_go_to_those_that_remain(self):
        first, second = self.job(), self.job()
        self.wait_for((first, 2), (second, 2))
        first.end()
        self.wait_for((second, 4))

    def test_job_does_not_wait_for_ever_for_one_that_hangs(self):
        self.useFixture(fixtures.MockPatchObject(places, '_PATIENCE', 0.1))
        hung = self.job(held=True)
        self.wait_for((hung, 4))
        others = [self.job(workers=1), self.job(workers=2)]
        self.wait_for((hung, 4), (others[0], 1), (others[1], 1))
        self.assertEqual(-2, self.places.free)
        # What is too many is given back by who has more than one.
        hung.goes_on.set()
        self.wait_for((hung, 2), (others[0], 1), (others[1], 1))
        self.assertEqual(0, self.places.free)

    def test_worker_that_waits_can_be_stopped(self):
        first = self.job(held=True)
        self.wait_for((first, 4))
        second = self.job(workers=1)
        second.control.cancel('enough')
        second.join()
        self.assertEqual('enough', str(second.failure))
        self.assertEqual([], self.places.waiting)

    def test_job_that_is_stopped_gives_all_places_back(self):
        job = self.job(held=True)
        self.wait_for((job, 4))
        job.end()
        self.assertEqual(4, self.places.free)


class NeedTest(PlacesTestCase):
    """Jobs whose places take more than others."""

    ROOM, SIZE = 100, 10

    def test_most(self):
        share = self.places.share()
        self.assertEqual(10, share.most)
        share.need(5, 15)
        self.assertEqual(3, share.most)
        share.need(0, 10)
        self.assertEqual(5, share.most)
        share.need(300, 0)
        self.assertEqual(1, share.most)

    def test_what_is_free(self):
        self.wait_for((self.job(workers=2, need=(7, 3)), 2))
        self.assertEqual(100 - 7 - 2 * 13, self.places.free)

    def test_all_is_free_when_jobs_have_ended(self):
        job = self.job(workers=3, need=(7, 3))
        self.wait_for((job, 3))
        job.end()
        self.assertEqual((100, 100), (self.places.free, self.places.coming))
        self.assertEqual(0, job.share.staying)

    def test_need_is_told_before_there_is_a_place(self):
        job = self.job(held=True)
        self.wait_for((job, 4))
        self.assertRaises(RuntimeError, job.share.need, 1, 1)

    def test_several_make_room_for_one(self):
        first = self.job(workers=10, held=True)
        self.wait_for((first, 10))
        second = self.job(workers=1, need=(15, 20))
        first.goes_on.set()
        self.wait_for((first, 5), (second, 1))
        self.assertEqual(5, self.places.free)

    def test_what_a_job_takes_once_has_to_fit_as_well(self):
        first = self.job(workers=8, held=True)
        self.wait_for((first, 8))
        second = self.job(workers=1, need=(15, 0))
        self.waits(second)
        self.assertEqual(20, self.places.free)
        first.goes_on.set()
        self.wait_for((first, 7), (second, 1))

    def test_even_shares_are_of_workers(self):
        """And not of memory: what is shared besides are processors."""
        first = self.job(workers=9, need=(0, 10))
        self.wait_for((first, 5))
        second = self.job(workers=9)
        self.wait_for((first, 3), (second, 3))

    def test_job_that_has_one_keeps_it(self):
        """Though more than one of its workers could go."""
        self.useFixture(fixtures.MockPatchObject(places, '_PATIENCE', 0.1))
        first = self.job(workers=2, need=(0, 40), held=True)
        self.wait_for((first, 2))
        second = self.job(workers=1, need=(60, 40), held=True)
        self.wait_for((second, 1))
        self.assertEqual(-110, self.places.free)
        self.assertTrue(first.share.is_wanted())
        self.assertFalse(first.share.is_wanted())

    def test_any_jobs_that_fit_have_a_place_each_and_never_more_room(self):
        for _ in range(8):
            seed = random.randrange(2**32)
            self.addDetail(f'seed {seed}', details.text_content(str(seed)))
            self._try(random.Random(seed))

    def _try(self, choice):
        self.places = places.Places(100, 10)
        needs, room = [], 100
        while len(needs) < 5:
            need = choice.choice([(0, 0), (choice.randrange(30), 0)])
            need = (need[0], choice.choice([0, choice.randrange(40)]))
            if 10 + sum(need) > room:
                break
            room -= 10 + sum(need)
            needs.append(need)
        least = []
        jobs = [
            self.job(
                choice.randrange(1, 8),
                need=need,
                at_task=lambda: least.append(self.places.free),
            )
            for need in needs
        ]
        with self.places.changed:
            self.assertTrue(
                self.places.changed.wait_for(
                    lambda: all(job.share.taken for job in jobs), 20
                )
            )
        while jobs:
            jobs.pop(choice.randrange(len(jobs))).end()
            with self.places.changed:
                taken = sum(
                    one.share.taken * (10 + one.need[1])
                    + (one.need[0] if one.share.taken else 0)
                    for one in jobs
                )
                self.assertEqual(100 - taken, self.places.free)
                self.assertTrue(all(job.share.taken for job in jobs))
        self.assertLessEqual(0, min(least))
        self.assertEqual(
            (100, 100, []),
            (self.places.free, self.places.coming, self.places.waiting),
        )


class SharedPlacesTest(volumes.EngineTestCase):
    """Real jobs, one of which has to give a place to the other."""

    def setUp(self):
        super().setUp()
        self.places = places.Places(2)
        self.taken = []

    def other(self):
        """Whoever else wants a place, at the first read of a job."""
        if not self.taken:
            self.taken.append(threading.Thread(target=self.take))
            self.taken[0].start()
            with self.places.changed:
                while not self.places.waiting:
                    self.places.changed.wait(0.01)

    def take(self):
        self.places.share().take(lambda: None, lambda: False)

    def assertGaveBack(self):
        self.taken[0].join(30)
        self.assertFalse(self.taken[0].is_alive(), 'still waits')
        self.assertEqual(1, self.places.free)

    def test_backup_is_complete(self):
        content = random.Random(1).randbytes(6 * LEAF + 5)
        source = volumes.MemorySource(content)
        source.before_read = self.other
        image, _ = self.back_up(source, share=self.places.share())
        self.assertGaveBack()
        self.assertHolds(content, image)

    def test_backup_of_several_stages_is_complete(self):
        content = random.Random(1).randbytes(6 * LEAF + 5)
        source = volumes.MemorySource(content)
        source.before_read = self.other
        reached = []
        image, _ = self.back_up(
            source,
            share=self.places.share(),
            checkpointed=reached.append,
            stage_size=2 * LEAF,
        )
        self.assertGaveBack()
        self.assertHolds(content, image)
        self.assertEqual([2, 4, 6], [one.leaf for one in reached])
        self.assertEqual(
            [2 * LEAF, 4 * LEAF, 6 * LEAF],
            [one.total['bytes_read'] for one in reached],
        )

    def test_restore_is_complete(self):
        content = random.Random(1).randbytes(6 * LEAF + 5)
        image, _ = self.back_up(content)
        target = volumes.MemoryTarget(bytes(len(content)))
        target.before_write = self.other
        restore.run_restore(
            self.repo,
            image,
            target,
            False,
            2,
            self.control,
            progress.Progress(image.size),
            self.places.share(),
        )
        self.assertGaveBack()
        self.assertEqual(content, target.content)
