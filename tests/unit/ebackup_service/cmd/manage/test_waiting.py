# SPDX-License-Identifier: Apache-2.0
import json
import threading

from ebackup_service.cmd.manage import waiting
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import repositories
from tests.unit.ebackup_service.cmd.manage import base


class WaitTest(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.patch(waiting, 'POLL', 0.01)

    def _end_when_waited_for(self, state, **values):
        """Let the job end in another thread, once the command polls it."""
        polled = threading.Event()
        show = waiting.jobs.show

        def seen(*args):
            job = show(*args)
            polled.set()
            return job

        def end():
            polled.wait(30)
            self.end_jobs(state, **values)

        self.patch(waiting.jobs, 'show', seen)
        thread = threading.Thread(target=end)
        thread.start()
        self.addCleanup(thread.join)

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

    def test_json_is_nothing_but_json(self):
        words = ('repository', 'gc', 'default', '--wait', '--timeout', '0')
        _code, out, err = self.run_command(*words, '--json')
        self.assertEqual('', err)
        self.assertEqual(job_rows.GC, json.loads(out)['job']['kind'])
