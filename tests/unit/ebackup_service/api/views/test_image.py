# SPDX-License-Identifier: Apache-2.0
import json

from ebackup_service.api.views import image
from ebackup_service.server import images
from tests.unit.ebackup_service.api import base

FIELDS = {
    'id',
    'project_id',
    'volume_id',
    'repository',
    'generation',
    'state',
    'size',
    'kind',
    'bytes_read',
    'bytes_stored',
    'chunk_size',
    'damaged_bytes',
    'restore_damaged',
    'snapshot_id',
    'name',
    'created_at',
    'updated_at',
    'error',
    'job_id',
}


class ImageTest(base.CatalogTestCase):
    def test_fields_are_those_of_the_document(self):
        self.make_repository()
        row, _job = images.reserve(
            self.catalog,
            self.conf,
            '11111111-2222-4333-8444-555555555555',
            base.image_request(volume_metadata='{"secret": 1}'),
        )
        shown = image.show(row)
        self.assertEqual(FIELDS, set(shown))
        self.assertNotIn('secret', json.dumps(shown))
        detail = image.detail(row)
        self.assertEqual(FIELDS | {'damaged_extents'}, set(detail))
        self.assertEqual([], detail['damaged_extents'])
