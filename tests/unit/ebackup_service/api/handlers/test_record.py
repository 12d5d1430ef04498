# SPDX-License-Identifier: Apache-2.0
from tests.unit.ebackup_service.api import base

IMAGE = '11111111-2222-4333-8444-555555555555'


class RecordTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.image = self.make_image(volume_metadata='{"v":1}')
        self.path = f'/v1/images/{self.image}/record'
        self.record = self.answer(200, 'GET', self.path)['record']

    def test_record_names_image_and_repository(self):
        self.assertEqual(self.image, self.record['image_id'])
        self.assertEqual(base.GIB, self.record['size'])
        self.assertEqual(1, self.record['generation'])
        self.assertEqual('{"v":1}', self.record['volume_metadata'])
        for name in ('repository_id', 'service'):
            self.assertEqual(36, len(self.record[name]))

    def test_unfinished_image_has_no_record(self):
        image = self.reserve()
        error = self.error(409, 'GET', f'/v1/images/{image}/record')
        self.assertEqual('image-not-available', error['kind'])

    def _import(self, status, project_id=base.OWN, **changes):
        body = {'project_id': project_id, 'record': self.record | changes}
        return self.answer(status, 'PUT', self.path, body)

    def test_exported_record_can_be_imported(self):
        answer = self._import(200)
        self.assertEqual(self.image, answer['image']['id'])

    def test_other_project_does_not_get_it(self):
        self._import(404, base.OTHER)

    def test_who_exported_it_does_not_matter(self):
        self._import(200, service=IMAGE)

    def test_record_that_disagrees_is_unknown(self):
        self._import(404, generation=2)
        self._import(404, image_id=IMAGE)

    def test_record_of_an_unknown_image(self):
        body = {'project_id': base.OWN, 'record': self.record}
        self.error(404, 'PUT', f'/v1/images/{IMAGE}/record', body)
