# SPDX-License-Identifier: Apache-2.0

from ebackup_service.engine import lost
from ebackup_service.repository import errors
from tests import base


class LostTest(base.BaseTestCase):
    def test_ranges_and_the_first_error(self):
        found = lost.Lost()
        self.assertFalse(found.extents)
        first = errors.Corrupt('chunk', 'a', 'broken')
        found.add(8, 4, first)
        found.add(0, 4, errors.Corrupt('chunk', 'b', 'broken, too'))
        found.add(4, 4, first)

        self.assertEqual([(0, 12)], list(found.extents))
        self.assertIs(first, found.error)
