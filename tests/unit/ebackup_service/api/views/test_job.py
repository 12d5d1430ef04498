# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json

from ebackup_service.api.views import job
from ebackup_service.server import images
from ebackup_service.server import jobs
from tests.unit.ebackup_service.api import base

FIELDS = {
    'id',
    'kind',
    'state',
    'needs',
    'image_id',
    'volume_id',
    'project_id',
    'repository',
    'proxy',
    'progress',
    'result',
    'error',
    'warning',
    'created_at',
    'runs',
    'started_at',
    'finished_at',
}
PROGRESS = {
    'percent',
    'bytes_total',
    'bytes_done',
    'bytes_read',
    'bytes_written',
    'bytes_stored',
    'rate',
    'remaining',
}


class JobTest(base.CatalogTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        _image, self.job = images.reserve(
            self.catalog,
            self.conf,
            '11111111-2222-4333-8444-555555555555',
            base.image_request(),
        )

    def test_fields_are_those_of_the_document(self):
        shown = job.show(self.job)
        self.assertEqual(FIELDS, set(shown))
        self.assertEqual(PROGRESS, set(shown['progress']))

    def test_warning_of_a_restore_that_left_something_out(self):
        row = dataclasses.replace(
            self.job,
            kind='restore',
            parameters={'availability_zone_mismatch': 'Elsewhere.'},
            result={'damaged_bytes': 7},
        )
        warning = job.show(row)['warning']
        self.assertIn('Elsewhere. 7 bytes of image', warning)
        row = dataclasses.replace(row, parameters={}, result=None)
        self.assertIsNone(job.show(row)['warning'])

    def test_instants_that_did_not_come_yet_are_null(self):
        shown = job.show(self.job)
        self.assertIsNotNone(shown['created_at'])
        self.assertIsNone(shown['started_at'])
        self.assertIsNone(shown['finished_at'])

    def test_attachment_and_token_are_not_shown(self):
        attachment = {'kind': 'attached', 'host': 'h', 'path': '/dev/sdb'}
        row = jobs.attach(self.catalog, self.job.id, attachment)
        shown = json.dumps(job.show(row))
        self.assertNotIn('/dev/sdb', shown)
        self.assertNotIn('token', shown)
