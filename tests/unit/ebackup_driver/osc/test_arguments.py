# SPDX-License-Identifier: Apache-2.0
import argparse

from ebackup_driver.osc import arguments
from tests import base

ID = '0b5c9a1e-6a2f-4c3d-9e8f-7a6b5c4d3e2f'


class TestUuid(base.BaseTestCase):
    def test_is_what_the_service_writes(self):
        self.assertEqual(ID, arguments.uuid(ID))
        self.assertEqual(ID, arguments.uuid(ID.upper()))

    def test_anything_else_is_none(self):
        for text in ('', 'bogus', ID[:-1], f'{ID}0', f'{ID}\n', f'../{ID}'):
            self.assertRaises(argparse.ArgumentTypeError, arguments.uuid, text)
