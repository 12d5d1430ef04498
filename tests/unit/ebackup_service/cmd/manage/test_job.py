# SPDX-License-Identifier: Apache-2.0
from ebackup_service.server import images
from tests.unit.ebackup_service.cmd.manage import base


class JobTest(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.image = self.make_image(state='creating')
        self.job = images.show(self.catalog, self.image).job_id

    def test_list(self):
        found = self.ask('job', 'list')['jobs']
        self.assertEqual(
            ['backup', 'create'], sorted(j['kind'] for j in found)
        )
        self.assertEqual(0, self.run_command('job', 'list')[0])

    def test_list_filters(self):
        for words in (
            ('--kind', 'backup'),
            ('--state', 'pending'),
            ('--image-id', self.image),
        ):
            found = self.ask('job', 'list', *words)['jobs']
            self.assertEqual([self.job], [job['id'] for job in found])

    def test_show(self):
        job = self.ask('job', 'show', self.job)['job']
        self.assertEqual('attachment', job['needs'])

    def test_cancel_of_a_pending_job_is_over_at_once(self):
        job = self.ask('job', 'cancel', self.job, '--wait')['job']
        self.assertEqual('cancelled', job['state'])
        self.ask('job', 'cancel', self.job)
