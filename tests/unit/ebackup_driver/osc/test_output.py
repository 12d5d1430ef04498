# SPDX-License-Identifier: Apache-2.0

from ebackup_driver.osc import output
from tests import base


class TestUnits(base.BaseTestCase):
    def test_are_binary(self):
        for count, text in (
            (None, ''),
            (0, '0 B'),
            (1023, '1023 B'),
            (1024, '1.0 KiB'),
            (1536, '1.5 KiB'),
            (5 << 30, '5.0 GiB'),
            (1 << 70, '1024.0 EiB'),
        ):
            self.assertEqual(text, output.in_units(count))


class TestColumns(base.BaseTestCase):
    def test_bytes(self):
        column = output.Bytes(2048)
        self.assertEqual('2.0 KiB', column.human_readable())
        self.assertEqual(2048, column.machine_readable())

    def test_documents(self):
        for value, text in (
            ({'a': 1, 'b': None}, 'a=1'),
            (['x', 2], 'x, 2'),
            ([{'a': 1, 'b': 2}, {'a': 3}], 'a=1, b=2\na=3'),
            ([], ''),
            ('word', 'word'),
            (None, ''),
        ):
            column = output.Document(value)
            self.assertEqual(text, column.human_readable())
            self.assertEqual(value, column.machine_readable())
