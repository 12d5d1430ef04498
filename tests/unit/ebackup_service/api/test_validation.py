# SPDX-License-Identifier: Apache-2.0
import json
import uuid

from tests.unit.ebackup_service.api import base

PATH = '/v1/images/11111111-2222-4333-8444-555555555555'


class BodyTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.asked = base.image_request()

    def _refused(self, body, *words, status=400, **kw):
        message = self.error(status, 'PUT', PATH, body, **kw)['message']
        for word in words:
            self.assertIn(word, message)

    def _changed(self, **changes):
        return {'image': self.asked | changes}

    def _volume(self, **changes):
        return self._changed(volume=self.asked['volume'] | changes)

    def test_what_is_not_json(self):
        for raw in (
            b'',
            b'{',
            b'{"image": }',
            b'\xff\xfe',
            b'{"image": NaN}',
            b'[' * 100000,
            b'1' * 10000,
        ):
            self._refused(raw, 'body')

    def test_numbers_that_are_not_finite(self):
        body = json.dumps(self._changed(record={'size': 'SIZE'}))
        for number in ('NaN', 'Infinity', '-Infinity', '1e400', '-1e400'):
            raw = body.replace('"SIZE"', number).encode()
            self._refused(raw, 'body: is not JSON')

    def test_what_is_json_but_no_object(self):
        for raw in (b'[]', b'null', b'7', b'"image"'):
            self._refused(raw, 'body', "'object'")

    def test_other_media_types(self):
        for kind in ('text/plain', 'application/x-www-form-urlencoded', ''):
            req = base.webob.Request.blank(
                PATH, method='PUT', headers={'X-Auth-Token': 'service'}
            )
            req.body = json.dumps(self._changed()).encode()
            req.content_type = kind
            response = req.get_response(self.app)
            self.assertEqual(415, response.status_int)
            self.assertIn('json', response.json['error']['message'])

    def test_charset_is_no_other_media_type(self):
        req = base.webob.Request.blank(
            PATH, method='PUT', headers={'X-Auth-Token': 'service'}
        )
        req.body = json.dumps(self._changed()).encode()
        req.content_type = 'application/json; charset=utf-8'
        self.assertEqual(202, req.get_response(self.app).status_int)

    def test_unknown_fields_are_named(self):
        self._refused(self._changed(colour=1), 'body.image', "'colour'")
        self._refused(self._volume(colour=1), 'image.volume', "'colour'")
        body = self._changed() | {'colour': 1}
        self._refused(body, 'body', "'colour'")

    def test_missing_fields_are_named(self):
        for name in ('project_id', 'volume', 'record'):
            body = self._changed()
            del body['image'][name]
            self._refused(body, 'body.image', repr(name))

    def test_wrong_values_are_named(self):
        for name, value in (
            ('project_id', 7),
            ('project_id', ''),
            ('project_id', 'x' * 256),
            ('snapshot_id', 'x'),
            ('snapshot_id', str(uuid.uuid4()) + '\n'),
            ('snapshot_id', str(uuid.uuid4()).upper()),
            ('repository', 'a/b'),
            ('name', 'x' * 256),
            ('volume_metadata', {}),
            ('record', []),
            ('record', 'x' * 1000),
        ):
            self._refused(self._changed(**{name: value}), f'body.image.{name}')

    def test_wrong_values_of_the_volume_are_named(self):
        for name, value in (
            ('id', None),
            ('size', -1),
            ('size', 2**63),
            ('size', 1.0),
            ('size', 1.5),
            ('size', True),
            ('size', '1'),
            ('name', 7),
        ):
            self._refused(
                self._volume(**{name: value}), f'body.image.volume.{name}'
            )

    def test_long_values_are_not_quoted(self):
        self._refused(self._changed(name='x' * 3000), 'maxLength', '255')

    def test_text_that_no_database_holds(self):
        self._refused(self._changed(name='a\0b'), 'body.image.name')
        self._refused(self._changed(name='\ud800'), 'body.image.name')
        record = {'a': ['\0']}
        self._refused(self._changed(record=record), 'body.image.record.a.0')
        record = {'a\0': 1}
        self._refused(self._changed(record=record), 'body.image.record')

    def test_record_that_is_nested_too_deeply(self):
        record = {}
        for _ in range(100):
            record = {'a': [record]}
        self._refused(self._changed(record=record), 'too deeply')

    def test_any_other_text_is_kept(self):
        name = 'Ä 日本 🎉 "\\\u2028'
        answer = self.answer(202, 'PUT', PATH, self._changed(name=name))
        self.assertEqual(name, answer['image']['name'])
