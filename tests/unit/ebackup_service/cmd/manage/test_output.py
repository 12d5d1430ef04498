# SPDX-License-Identifier: Apache-2.0

from ebackup_service.cmd.manage import output
from tests import base


class CellTest(base.BaseTestCase):
    def test_bytes_get_a_unit(self):
        for column in ('size', 'bytes_read', 'free'):
            self.assertEqual('1.5 KiB', output.cell(column, 1536))
        self.assertEqual('1536', output.cell('generation', 1536))

    def test_nothing_is_empty(self):
        self.assertEqual('', output.cell('size', None))

    def test_truth_is_no_number_of_bytes(self):
        self.assertEqual('True', output.cell('alive', True))

    def test_objects_and_lists_are_lines(self):
        self.assertEqual(
            'percent: 5\nbytes_read: 1.0 KiB',
            output.cell(
                'progress', {'percent': 5, 'bytes_read': 1024, 'rate': None}
            ),
        )
        self.assertEqual(
            'usage: \n  free: 1.0 KiB\n  used: 0 B\nimages: 2',
            output.cell(
                'result', {'usage': {'free': 1024, 'used': 0}, 'images': 2}
            ),
        )
        self.assertEqual('a\nb', output.cell('jobs', ['a', 'b']))


class SizeTest(base.BaseTestCase):
    def test_units(self):
        for number, text in (
            (0, '0 B'),
            (1023, '1023 B'),
            (1024, '1.0 KiB'),
            (2**40, '1.0 TiB'),
            (2**70, '1048576.0 PiB'),
        ):
            self.assertEqual(text, output.size(number))
