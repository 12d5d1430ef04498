# SPDX-License-Identifier: Apache-2.0

import jsonschema

from ebackup_service.rpc import schemas
from tests import base


class TestSchemas(base.BaseTestCase):
    def valid(self, schema, value):
        return jsonschema.Draft202012Validator(schema).is_valid(value)

    def test_all_of_them_are_schemas(self):
        for name, schema in vars(schemas).items():
            if name.isupper():
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_record_has_its_properties(self):
        schema = schemas.record(a=schemas.TEXT)
        for right in ({'a': 'x'}, {'a': 'x', 'newer': 1}):
            self.assertTrue(self.valid(schema, right))
        for wrong in ({}, {'a': 1}, {'b': 'x'}, []):
            self.assertFalse(self.valid(schema, wrong))

    def test_optional(self):
        schema = schemas.optional(schemas.TEXT)
        self.assertTrue(self.valid(schema, None))
        self.assertTrue(self.valid(schema, 'x'))
        self.assertFalse(self.valid(schema, 1))

    def test_array(self):
        schema = schemas.array(schemas.COUNT)
        self.assertTrue(self.valid(schema, [0, 1]))
        self.assertFalse(self.valid(schema, [-1]))
