# SPDX-License-Identifier: Apache-2.0
import time
from unittest import mock
import urllib.parse

from ebackup_driver import errors
from ebackup_driver import waiting
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import played_service
from tests.unit.ebackup_driver import test_client

ATTACHMENT = {'kind': 'attached', 'host': 'h', 'path': '/dev/x'}


class WaiterTestCase(test_client.ClientTestCase):
    def setUp(self):
        super().setUp()
        self.naps = []
        # seconds that requests took
        self.waited = 0.0
        clock = mock.Mock(
            wraps=time,
            sleep=self.naps.append,
            monotonic=lambda: sum(self.naps) + self.waited,
        )
        patch = mock.patch.object(waiting, 'time', clock)
        patch.start()
        self.addCleanup(patch.stop)
        self.clock = clock
        self.job = self.client.reserve_image(
            'i1', test_client.image_request()
        ).job
        self.waiter = self.make_waiter()

    def make_waiter(self, delay=2.0, timeout=30.0, **kwargs):
        return waiting.Waiter(self.client, delay, timeout, **kwargs)

    def wait(self):
        return self.waiter.wait(self.job, ATTACHMENT)

    def paths(self):
        return [r.path.rpartition('/')[2] for r in self.service.requests]


class TestPersist(WaiterTestCase):
    def setUp(self):
        super().setUp()
        self.service.requests.clear()

    def refuse(self, *statuses):
        refusals = list(statuses)

        def hook(request):
            if refusals:
                raise played_service.Refusal(refusals.pop(0), 'any', 'No.')

        self.service.hooks.append(hook)

    def ask(self):
        return self.waiter.persist(self.client.job, self.job.id)

    def test_asks_once_when_it_is_answered(self):
        self.assertEqual(self.job.id, self.ask().id)
        self.assertEqual(1, len(self.service.requests))
        self.assertEqual([], self.naps)

    def test_asks_again_while_the_service_is_away(self):
        self.refuse(503, 502, 504)
        self.assertEqual(self.job.id, self.ask().id)
        self.assertEqual(4, len(self.service.requests))
        self.assertEqual(3, len(self.naps))

    def test_a_refusal_is_final(self):
        for status in (400, 401, 403, 404, 409, 500):
            self.service.requests.clear()
            self.refuse(status)
            self.assertRaises(errors.ServiceError, self.ask)
            self.assertEqual(1, len(self.service.requests))

    def test_patience_ends(self):
        now = [0.0]
        self.clock.monotonic = lambda: now[0]
        self.clock.sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)
        self.refuse(*[503] * 1000)
        error = self.assertRaises(errors.ServiceUnreachable, self.ask)
        self.assertRegex(str(error), r'^No\. for 3\d s$')

    def test_what_passed_while_this_process_hung_counts_for_nobody(self):
        now = [0.0]
        self.clock.monotonic = lambda: now[0]
        refusals = [503, 503]

        def hook(request):
            if refusals:
                now[0] += 29.0
                raise played_service.Refusal(refusals.pop(), 'late', 'No.')

        self.service.hooks.append(hook)
        self.assertEqual(self.job.id, self.ask().id)

    def test_checks_between_two_attempts(self):
        seen = []
        self.waiter = self.make_waiter(
            check=lambda: seen.append(len(self.service.requests))
        )
        self.refuse(503, 503)
        self.ask()
        self.assertEqual([1, 2], seen)

    def test_an_objection_ends_it(self):
        objections = [None, errors.Withdrawn('no')]
        self.waiter = self.make_waiter(check=mock.Mock(side_effect=objections))
        self.refuse(503, 503, 503)
        self.assertRaises(errors.Withdrawn, self.ask)
        self.assertEqual(2, len(self.service.requests))


class TestWait(WaiterTestCase):
    def test_attaches_and_beats_until_the_job_succeeded(self):
        self.service.beats_needed = 3
        self.assertEqual('succeeded', self.wait().state)
        self.assertEqual(
            ['i1', 'attachment'] + ['heartbeat'] * 3, self.paths()
        )

    def test_looks_often_at_first_and_seldom_later(self):
        self.service.beats_needed = 40
        self.wait()
        self.assertEqual(0.1, self.naps[0])
        self.assertEqual(sorted(self.naps), self.naps)
        self.assertEqual(2.0, self.naps[-1])
        for number, nap in enumerate(self.naps[1:], 1):
            passed = sum(self.naps[:number])
            self.assertLess(nap, 0.1 + passed / 9)

    def test_looks_often_again_when_the_job_is_nearly_done(self):
        """It tells whole seconds that are left; the service does not wait."""
        for seconds in range(15, 25):
            before = len(self.naps)
            self.assertLess(self.late(seconds), 0.3, seconds)
            naps = self.naps[before:]
            self.assertGreater(max(naps), 1.0)
            self.assertLess(len(naps), 60)

    def late(self, seconds):
        """Seconds after which it is noticed that a job has ended."""
        end = sum(self.naps) + seconds

        def left():
            return end - sum(self.naps)

        self.service.beats_needed = 1000
        self.service.remaining = lambda: int(left())
        self.service.hooks[:] = [
            lambda request: setattr(
                self.service, 'beats_needed', 1000 if left() > 0 else 1
            )
        ]
        job = self.client.reserve_image(
            f'i{seconds}', test_client.image_request()
        ).job
        self.waiter.wait(job, ATTACHMENT)
        return -left()

    def test_a_beat_after_one_without_an_answer_is_not_put_off(self):
        self.service.beats_needed = 5
        waits = []

        def hook(request):
            if request.path.endswith('heartbeat'):
                waits.append('wait' in request.query)
                if len(waits) in (2, 3):
                    raise played_service.Refusal(503, 'slow')

        self.service.hooks.append(hook)
        self.wait()
        self.assertEqual([True, True, False, False, True, True, True], waits)

    def test_sleeps_no_more_when_the_service_waits(self):
        self.service.beats_needed = 20
        waits = []

        def hook(request):
            if request.path.endswith('heartbeat'):
                (wait,) = urllib.parse.parse_qs(request.query)['wait']
                waits.append(float(wait))
                self.waited += float(wait) + 0.01

        self.service.hooks.append(hook)
        self.wait()
        self.assertEqual(20, len(waits))
        self.assertEqual(sorted(waits), waits)
        # Between attaching and the first beat.
        self.assertEqual([0.1], [nap for nap in self.naps if nap])

    def test_has_the_service_wait_for_two_seconds_at_most(self):
        self.service.beats_needed = 80
        self.waiter = self.make_waiter(delay=5.0)
        self.wait()
        waits = [
            urllib.parse.parse_qs(request.query)['wait'][0]
            for request in self.service.said('POST', '.*/heartbeat')
        ]
        self.assertEqual('2.000', waits[-1])
        self.assertEqual(5.0, self.naps[-1])

    def test_estimate_that_is_wrong_costs_little(self):
        self.service.beats_needed = 80
        self.service.remaining = lambda: 0
        self.wait()
        self.assertEqual(2.0, self.naps[-1])
        self.assertEqual(2, self.naps.count(0.1))

    def test_looks_no_more_when_the_job_has_ended(self):
        self.service.beats_needed = 1
        self.wait()
        self.assertEqual(1, len(self.naps))

    def test_looks_at_a_short_interval_from_the_start(self):
        self.service.beats_needed = 3
        self.waiter = self.make_waiter(delay=0.05)
        self.wait()
        self.assertEqual({0.05}, set(self.naps))

    def test_an_ended_job_is_not_waited_for(self):
        self.service._end(self.service.jobs[self.job.id], 'failed', 'k', 'm')
        self.job = self.client.job(self.job.id)
        self.waiter = self.make_waiter(check=self.fail)
        error = self.assertRaises(errors.JobFailed, self.wait)
        self.assertEqual('k', error.kind)
        self.assertEqual([], self.naps)

    def test_checks_before_every_look(self):
        self.service.beats_needed = 3
        seen = []
        self.waiter = self.make_waiter(
            check=lambda: seen.append(len(self.service.requests))
        )
        self.wait()
        self.assertEqual([1, 2, 3, 4], seen)

    def test_an_objection_ends_the_job(self):
        self.service.looks_to_stop = 3
        objections = [None, None, errors.Withdrawn('no')]
        self.waiter = self.make_waiter(check=mock.Mock(side_effect=objections))
        self.assertRaises(errors.Withdrawn, self.wait)
        self.assertEqual(
            ['i1', 'attachment', 'heartbeat', 'cancel'] + [self.job.id] * 3,
            self.paths(),
        )

    def test_an_outage_is_measured_from_the_last_contact(self):
        now = [0.0]
        self.clock.monotonic = lambda: now[0]
        self.clock.sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)
        self.service.beats_needed = None

        def hook(request):
            # Away from 100 s on, and once in a while before.
            if now[0] > 100 or len(self.service.requests) % 3 == 0:
                raise played_service.Refusal(503, 'away', 'Away.')

        self.service.hooks.append(hook)
        error = self.assertRaises(errors.ServiceUnreachable, self.wait)
        self.assertRegex(str(error), r'^Away\. for 3\d s$')
        self.assertBetween(125, now[0], 140)

    def assertBetween(self, low, value, high):
        self.assertGreaterEqual(value, low)
        self.assertLessEqual(value, high)


class TestWaitForEnd(WaiterTestCase):
    def test_attaches_nothing(self):
        self.waiter.wait_for_end(self.job)
        self.assertEqual([], self.service.said('PUT', base.JOB + '/attachm.*'))

    def test_does_not_cancel_on_errors(self):
        def hook(request):
            raise played_service.Refusal(403, 'forbidden')

        self.service.hooks.append(hook)
        self.assertRaises(errors.Forbidden, self.waiter.wait_for_end, self.job)
        self.assertEqual([], self.service.said('POST', base.CANCEL))


class TestStop(WaiterTestCase):
    def test_bears_a_short_outage(self):
        refusals = [503, 503, 502]

        def hook(request):
            if refusals:
                raise played_service.Refusal(refusals.pop(), 'away')

        self.service.hooks.append(hook)
        self.waiter.stop(self.job)
        self.assertEqual('cancelled', self.service.jobs[self.job.id]['state'])

    def test_of_an_unknown_job_is_done(self):
        self.service.jobs.clear()
        self.waiter.stop(self.job)
        self.assertEqual(1, len(self.service.said('POST', base.CANCEL)))

    def test_raises_nothing(self):
        self.waiter = self.make_waiter(timeout=0.0)
        self.server.stop()
        self.waiter.stop(self.job)
