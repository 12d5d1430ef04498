# SPDX-License-Identifier: Apache-2.0
from oslotest import base

from ebackup_service import conf
from ebackup_service.conf import opts


class ListOptsTest(base.BaseTestCase):
    def test_every_registered_group_is_listed(self):
        listed = {str(group) for group, _opts in opts.list_opts()}
        self.assertEqual(
            {
                'DEFAULT',
                'api',
                'database',
                'http_basic',
                'proxy',
                'repository',
                'server',
            },
            listed,
        )

    def test_every_listed_option_is_registered(self):
        options = conf.new()
        for group, listed in opts.list_opts():
            section = (
                options if str(group) == 'DEFAULT' else options[str(group)]
            )
            for opt in listed:
                self.assertIn(opt.dest, section)

    def test_every_option_of_ours_has_help(self):
        for _group, listed in opts.list_opts():
            for opt in listed:
                self.assertTrue(opt.help, opt.name)
