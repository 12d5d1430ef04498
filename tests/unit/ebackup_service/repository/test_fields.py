# SPDX-License-Identifier: Apache-2.0
import datetime

from ebackup_service.repository import fields
from tests import base

UUID = '0badcafe-0000-4000-8000-000000000001'
WRONG = (None, 1, -1, 1.0, True, 'x', [], [1], {}, {'id': 'x'})


class FieldsTestCase(base.BaseTestCase):
    def check(self, read, good):
        """Accepts these values, and no other of all kinds."""
        for value in good:
            self.assertEqual(value, read({'name': value}, 'name'))
        for value in WRONG:
            if value in good and type(value) in map(type, good):
                continue
            error = self.assertRaises(
                ValueError, read, {'name': value}, 'name'
            )
            self.assertIn('name', str(error))

    def test_text(self):
        self.check(fields.text, ['', 'x'])
        self.assertRaises(ValueError, fields.text, {}, 'name')

    def test_text_or_none(self):
        self.check(fields.text_or_none, [None, 'x'])
        self.assertIsNone(fields.text_or_none({}, 'name'))

    def test_uuid_text(self):
        self.check(fields.uuid_text, [UUID])

    def test_number(self):
        self.check(fields.number, [0, 1, 2**63 - 1])
        self.assertRaises(ValueError, fields.number, {'a': 2**63}, 'a')
        self.assertRaises(ValueError, fields.number, {'a': 6}, 'a', 5)

    def test_mapping(self):
        self.check(fields.mapping, [{}, {'id': 'x'}])

    def test_texts(self):
        self.check(fields.texts, [[], ['x', 'y']])

    def test_numbers(self):
        for good in ([], [0, 255]):
            self.assertEqual(good, fields.numbers({'name': good}, 'name', 255))
        for bad in (None, 1, 'a', {}, [256], [-1], [1.0], ['1'], [True]):
            self.assertRaises(
                ValueError, fields.numbers, {'name': bad}, 'name', 255
            )

    def test_mappings(self):
        self.check(fields.mappings, [[], [{}, {'a': 1}]])

    def test_locator_or_none(self):
        self.assertIsNone(fields.locator_or_none({}, 'tree'))
        for value in ('x', {}, [], 1):
            self.assertRaises(
                ValueError, fields.locator_or_none, {'tree': value}, 'tree'
            )

    def test_now(self):
        instant = datetime.datetime.fromisoformat(fields.now())

        self.assertEqual(datetime.timedelta(), instant.utcoffset())
        age = datetime.datetime.now(datetime.UTC) - instant
        self.assertLess(abs(age.total_seconds()), 60)
