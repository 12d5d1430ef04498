# SPDX-License-Identifier: Apache-2.0
import functools

import fixtures

from ebackup_service.server.catalog import connection as connection_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import connections
from ebackup_service.server import images
from ebackup_service.server import jobs
from tests.unit.ebackup_service import catalog_fixture
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

    def _export(self):
        volume_id = catalog_fixture.new_id()
        export = connection_rows.Connection(
            job_id=self.job,
            volume_id=volume_id,
            exported_type='volume',
            exported_id=volume_id,
            proxy='node7',
            connector={'initiator': 'iqn.secret'},
        )
        with self.catalog.writer() as session:
            connection_rows.insert(session, export)
        return [{'type': 'volume', 'id': volume_id, 'proxy': 'node7'}]

    def test_list_of_what_is_left_exported(self):
        exported = self._export()
        job = self.ask('job', 'show', self.job)['job']
        self.assertEqual(exported, job['exported'])
        self.assertEqual([], self.ask('job', 'list', '--exported')['jobs'])
        self.ask('job', 'cancel', self.job)
        with self.catalog.writer() as session:
            job_rows.update(
                session, self.job, job_rows.STATES, finished_at=1000
            )
        (job,) = self.ask('job', 'list', '--exported')['jobs']
        self.assertEqual(self.job, job['id'])
        self.assertEqual(exported, job['exported'])
        shown = self.run_command('job', 'list', '--exported')[1]
        self.assertIn('proxy: node7', shown)
        self.assertNotIn('iqn.secret', shown)

    def test_no_statement_has_more_ids_than_a_page(self):
        asked = []
        of_jobs, pages = connections.of_jobs, jobs.list

        def count(catalog, found):
            asked.append(len(found))
            return of_jobs(catalog, found)

        self.useFixture(
            fixtures.MockPatchObject(connections, 'of_jobs', count)
        )
        self.useFixture(
            fixtures.MockPatchObject(
                jobs, 'list', functools.partial(pages, limit=1)
            )
        )
        self.assertEqual(2, len(self.ask('job', 'list')['jobs']))
        self.assertEqual([1, 1], asked)

    def test_show(self):
        job = self.ask('job', 'show', self.job)['job']
        self.assertEqual('attachment', job['needs'])

    def test_cancel_of_a_pending_job_is_over_at_once(self):
        job = self.ask('job', 'cancel', self.job, '--wait')['job']
        self.assertEqual('cancelled', job['state'])
        self.ask('job', 'cancel', self.job)
