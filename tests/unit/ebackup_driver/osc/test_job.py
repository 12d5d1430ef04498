# SPDX-License-Identifier: Apache-2.0
from ebackup_driver.osc import job
from tests.unit.ebackup_driver.osc import base
from tests.unit.ebackup_driver import test_client


class JobTestCase(base.CommandTestCase):
    def setUp(self):
        super().setUp()
        reservation = self.client.reserve_image(
            'i1', test_client.image_request()
        )
        self.job = self.service.jobs[reservation.job.id]
        self.job['progress'] = {
            'percent': 40,
            'bytes_done': 4 << 20,
            'rate': 1 << 20,
            'remaining': 6,
        }


class TestList(JobTestCase):
    def test_shows_how_far_they_are(self):
        (row,) = self.json(job.ListJobs)
        self.assertEqual(self.job['id'], row['ID'])
        self.assertEqual(40, row['Progress'])
        self.assertEqual('i1', row['Image'])

    def test_long_has_rate_and_error(self):
        self.job['error'] = {'kind': 'k', 'message': 'Because.'}
        (row,) = self.json(job.ListJobs, '--long')
        self.assertEqual(1 << 20, row['Rate'])
        self.assertEqual(6, row['Remaining'])
        self.assertEqual('Because.', row['Error'])

    def test_what_is_left_exported(self):
        left = {'type': 'volume', 'id': 'v1', 'proxy': 'node7'}
        self.job['exported'] = [left, {**left, 'proxy': 'node8'}]
        (row,) = self.json(job.ListJobs, '--exported')
        self.assertIn('exported=true', self.service.requests[-1].query)
        self.assertEqual(self.job['exported'], row['Exported'])
        shown = self.text(job.ListJobs, '--exported', '--long')
        self.assertIn('volume v1 to node7, volume v1 to node8', shown)
        (row,) = self.json(job.ListJobs)
        self.assertNotIn('exported', self.service.requests[-1].query)
        self.assertNotIn('Exported', row)

    def test_filters_are_the_services(self):
        self.json(
            job.ListJobs,
            '--kind',
            'gc',
            '--state',
            'failed',
            '--image',
            'i1',
        )
        query = self.service.requests[-1].query
        for part in ('kind=gc', 'state=failed', 'image_id=i1'):
            self.assertIn(part, query)


class TestShow(JobTestCase):
    def test_has_progress_in_fields_of_its_own(self):
        shown = self.json(job.ShowJob, self.job['id'])
        self.assertEqual(40, shown['progress_percent'])
        self.assertEqual(4 << 20, shown['progress_bytes_done'])
        self.assertNotIn('progress', shown)

    def test_how_often_it_was_begun(self):
        self.job['runs'] = 3
        shown = self.json(job.ShowJob, self.job['id'])
        self.assertEqual(3, shown['runs'])

    def test_people_get_units(self):
        self.assertIn('4.0 MiB', self.text(job.ShowJob, self.job['id']))

    def test_what_is_exported(self):
        self.assertIsNone(self.json(job.ShowJob, self.job['id'])['exported'])
        self.job['exported'] = [
            {'type': 'snapshot', 'id': 's1', 'proxy': 'node7'}
        ]
        shown = self.json(job.ShowJob, self.job['id'])
        self.assertEqual(self.job['exported'], shown['exported'])
        self.assertIn(
            'snapshot s1 to node7', self.text(job.ShowJob, self.job['id'])
        )

    def test_an_error_stays_whole_for_programs(self):
        self.job['error'] = {'kind': 'k', 'message': 'Because.'}
        shown = self.json(job.ShowJob, self.job['id'])
        self.assertEqual('k', shown['error']['kind'])
        self.assertIn(
            'kind=k, message=Because.', self.text(job.ShowJob, self.job['id'])
        )


class TestWhatIsNoId(base.CommandTestCase):
    def test_is_told(self):
        for command in (job.ShowJob, job.CancelJob):
            self.assertIn(
                "'nonsense' is no ID", self.misused(command, 'nonsense')
            )


class TestCancel(JobTestCase):
    def test_asks_for_it(self):
        shown = self.json(job.CancelJob, self.job['id'])
        self.assertEqual('stopping', shown['state'])

    def test_waits_for_the_end_which_is_no_error(self):
        self.service.looks_to_stop = 3
        shown = self.json(job.CancelJob, self.job['id'], '--wait')
        self.assertEqual('cancelled', shown['state'])
        self.assertIn('backup cancelled', self.stderr.getvalue())
