# SPDX-License-Identifier: Apache-2.0
from ebackup_driver.osc import proxy
from tests.unit.ebackup_driver.osc import base


class TestList(base.CommandTestCase):
    def setUp(self):
        super().setUp()
        self.service.proxies.append(
            {
                'host': 'p1',
                'alive': True,
                'version': '1.0',
                'jobs': ['j1', 'j2'],
                'announced_at': '2026-01-01T00:00:00.000000Z',
            }
        )

    def test_shows_which_are_alive(self):
        (row,) = self.json(proxy.ListProxies)
        self.assertEqual('p1', row['Host'])
        self.assertIs(True, row['Alive'])
        self.assertEqual(['j1', 'j2'], row['Jobs'])

    def test_people_get_a_table(self):
        self.assertIn('j1, j2', self.text(proxy.ListProxies))
