# SPDX-License-Identifier: Apache-2.0
import json
import threading

from ebackup_service.cmd.manage import waiting
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import outcomes
from ebackup_service.server import repositories
from tests.unit.ebackup_service.cmd.manage import base

ID = '11111111-2222-4333-8444-555555555555'


class WaitingTestCase(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.patch(waiting, 'POLL', 0.01)

    def once_polled(self, act):
        """Do something in another thread, once the command polls its job."""
        polled = threading.Event()
        show = waiting.jobs.show

        def seen(*args):
            job = show(*args)
            polled.set()
            return job

        def wait():
            polled.wait(30)
            act()

        self.patch(waiting.jobs, 'show', seen)
        thread = threading.Thread(target=wait)
        thread.start()
        self.addCleanup(thread.join)


class WaitTest(WaitingTestCase):
    def _end_when_waited_for(self, state, **values):
        self.once_polled(lambda: self.end_jobs(state, **values))

    def _check(self, code, *words):
        return self.ask(
            'repository', 'check', 'default', '--wait', *words, code=code
        )['job']

    def test_success(self):
        self._end_when_waited_for('succeeded', result={'problems': []})
        self.assertEqual('succeeded', self._check(0)['state'])

    def test_damage_is_4(self):
        self._end_when_waited_for(
            'succeeded', result={'problems': ['pack is lost']}
        )
        job = self._check(4)
        self.assertEqual(['pack is lost'], job['result']['problems'])

    def test_difference_is_4(self):
        self._end_when_waited_for(
            'succeeded', result={'differences': ['image is gone']}
        )
        job = self._check(4)
        self.assertEqual(['image is gone'], job['result']['differences'])

    def test_failure_is_4(self):
        error = {'kind': 'x', 'message': 'Disk full.', 'retryable': False}
        self._end_when_waited_for('failed', error=error)
        self.assertEqual('Disk full.', self._check(4)['error']['message'])

    def test_timeout_is_5(self):
        self.assertEqual('pending', self._check(5, '--timeout', '0')['state'])

    def test_people_are_told_what_is_waited_for(self):
        job = repositories.collect(self.catalog, 'default')
        code, out, err = self.run_command(
            'repository', 'gc', 'default', '--wait', '--timeout', '0'
        )
        self.assertEqual(5, code)
        self.assertIn(job.id, err)
        self.assertIn(job.id, out)

    def test_people_see_the_progress(self):
        def go_on():
            with self.catalog.writer() as session:
                (job,) = job_rows.unfinished(session)
                job_rows.update(
                    session,
                    job.id,
                    job_rows.UNFINISHED,
                    state=job_rows.RUNNING,
                    progress={'percent': 42},
                )
            told.wait(30)
            self.end_jobs()

        told = threading.Event()
        show = waiting.progress.Line.show

        def seen(line, job):
            show(line, job)
            if job.progress:
                told.set()

        self.patch(waiting.progress.Line, 'show', seen)
        self.once_polled(go_on)
        words = ('repository', 'gc', 'default', '--wait')
        code, _out, err = self.run_command(*words)
        self.assertEqual(0, code)
        self.assertEqual(
            ['gc pending', 'gc running, 42 %', 'gc succeeded, 42 %'],
            err.splitlines()[1:],
        )

    def test_json_is_nothing_but_json(self):
        words = ('repository', 'gc', 'default', '--wait', '--timeout', '0')
        _code, out, err = self.run_command(*words, '--json')
        self.assertEqual('', err)
        self.assertEqual(job_rows.GC, json.loads(out)['job']['kind'])


class RepositoryTest(WaitingTestCase):
    """The repository is shown as the job has left it."""

    def _end_when_waited_for(self, outcome):
        self.once_polled(lambda: self._end(outcome))

    def _end(self, outcome):
        """As the server does when a proxy reports it."""
        with self.catalog.writer() as session:
            (job,) = job_rows.unfinished(session)
            job_rows.update(
                session,
                job.id,
                job_rows.UNFINISHED,
                state=job_rows.RUNNING,
                begun=True,
            )
        outcomes.finish(self.catalog, self.conf, job.id, job.token, outcome)

    def _wait(self, code, *words):
        return self.ask('repository', *words, '--wait', code=code)

    def test_create(self):
        self._end_when_waited_for(messages.Outcome('succeeded', result={}))
        answer = self._wait(0, 'create', 'a', 'file:///srv/a')
        self.assertEqual('succeeded', answer['job']['state'])
        self.assertEqual('available', answer['repository']['state'])

    def test_create_that_failed(self):
        error = messages.JobError('x', 'Disk full.')
        self._end_when_waited_for(messages.Outcome('failed', error=error))
        answer = self._wait(4, 'create', 'a', 'file:///srv/a')
        self.assertEqual('error', answer['repository']['state'])
        self.assertEqual(
            'Disk full.', answer['repository']['error']['message']
        )

    def test_takeover_that_failed(self):
        error = messages.JobError('x', 'Disk full.')
        self._end_when_waited_for(messages.Outcome('failed', error=error))
        answer = self._wait(4, 'takeover', 'a', 'file:///srv/a', ID)
        self.assertEqual(
            'Disk full.', answer['repository']['error']['message']
        )
