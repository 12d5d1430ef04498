# SPDX-License-Identifier: Apache-2.0
import os
import threading

import fixtures

from ebackup_service.engine import control
from ebackup_service.engine import crew
from ebackup_service.engine import throttle
from tests import base


class CrewTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.control = control.Control()
        self.crew = crew.Crew(self.control)
        self.ready = threading.Event()

    def until_stopped(self):
        self.ready.set()
        while True:
            self.crew.check()

    def test_a_worker_more_than_cores_that_the_process_may_use(self):
        self.useFixture(
            fixtures.MockPatchObject(
                os, 'sched_getaffinity', lambda pid: {0, 5, 7}
            )
        )
        self.assertEqual(3, crew.cores())
        self.assertEqual(4, crew.default_size())

    def test_all_run_at_once(self):
        together = threading.Barrier(3, timeout=30)
        self.crew.run([together.wait] * 3)
        self.assertFalse(together.broken)

    def test_first_failure_stops_the_others_and_is_raised(self):
        def fail():
            self.ready.wait()
            raise ZeroDivisionError('first')

        error = self.assertRaises(
            ZeroDivisionError, self.crew.run, [self.until_stopped, fail]
        )
        self.assertEqual('first', str(error))

    def test_cancel_stops_all(self):
        stopper = threading.Thread(
            target=lambda: (self.ready.wait(), self.control.cancel('enough'))
        )
        stopper.start()
        self.addCleanup(stopper.join)
        error = self.assertRaises(
            control.JobStopped,
            self.crew.run,
            [self.until_stopped, self.until_stopped],
        )
        self.assertEqual('enough', error.reason)

    def test_thread_that_does_not_start(self):
        def start(thread):
            if thread.name == 'engine-1':
                raise RuntimeError("can't start new thread")
            started(thread)

        started = threading.Thread.start
        self.patch(threading.Thread, 'start', start)
        self.assertRaises(
            RuntimeError,
            self.crew.run,
            [self.until_stopped, self.until_stopped],
        )

    def patch(self, owner, name, value):
        original = getattr(owner, name)
        self.addCleanup(setattr, owner, name, original)
        setattr(owner, name, value)

    def test_pace_notices_the_failure_of_another(self):
        limited = crew.Crew(control.Control(limiter=throttle.Limiter(1)))

        def wait_for_long():
            limited.pace(3600)
            self.ready.set()
            limited.pace(1)

        def fail():
            self.ready.wait()
            raise ZeroDivisionError

        self.assertRaises(
            ZeroDivisionError, limited.run, [wait_for_long, fail]
        )


class SharedTest(base.BaseTestCase):
    def test_each_item_goes_to_one_thread(self):
        items = crew.Shared(number for number in range(10000))
        taken = [[], []]
        together = threading.Barrier(2, timeout=30)

        def take(mine):
            together.wait()
            mine.extend(items)

        crew.Crew(control.Control()).run(
            [lambda: take(taken[0]), lambda: take(taken[1])]
        )
        self.assertEqual(list(range(10000)), sorted(taken[0] + taken[1]))
