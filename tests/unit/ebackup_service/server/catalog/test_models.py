# SPDX-License-Identifier: Apache-2.0

from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import sqlite

from ebackup_service.server.catalog import models
from tests import base


class TestDocument(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.type = models.Document()

    def test_any_json_comes_back(self):
        for value in ({'b': [1, None], 'a': 'ä'}, 'text', 0, [], None):
            text = self.type.process_bind_param(value, None)
            self.assertEqual(value, self.type.process_result_value(text, None))

    def test_nothing_stays_null(self):
        self.assertIsNone(self.type.process_bind_param(None, None))

    def test_it_may_be_long_on_every_database(self):
        self.assertEqual('LONGTEXT', str(self.type.compile(mysql.dialect())))
        self.assertEqual('TEXT', str(self.type.compile(sqlite.dialect())))
