# SPDX-License-Identifier: Apache-2.0
import pathlib
import re

from oslo_config import cfg
from oslo_messaging import opts as messaging_opts

from ebackup_driver import opts as driver_opts
from ebackup_service import conf
from ebackup_service.conf import api
from ebackup_service.conf import opts
from ebackup_service.conf import proxy
from ebackup_service.conf import server
from ebackup_service.server import leases
from tests import base


class ListOptsTest(base.BaseTestCase):
    def test_every_registered_group_is_listed(self):
        listed = {str(group) for group, _opts in opts.list_opts()}
        self.assertEqual(
            {
                'DEFAULT',
                'api',
                'database',
                'http_basic',
                'nbd',
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


class LimitsTest(base.BaseTestCase):
    """What the guide to limits says of options."""

    def setUp(self):
        super().setUp()
        guide = (
            pathlib.Path(__file__).parents[4] / 'doc/source/admin/limits.rst'
        )
        found = re.findall(r'``\[(\w+)\] (\w+)``', guide.read_text())
        self.named = {(group, name) for group, name in found}

    def test_every_option_that_is_named_exists(self):
        known = {
            (str(group or 'DEFAULT'), opt.dest)
            for listed in (
                opts.list_opts(),
                messaging_opts.list_opts(),
                driver_opts.list_opts(),
            )
            for group, options in listed
            for opt in options
        }
        self.assertEqual(set(), self.named - known)

    def test_every_number_of_ours_is_named(self):
        numbers = {
            (group.GROUP, opt.dest)
            for group in (api, proxy, server)
            for opt in group.OPTS
            if isinstance(opt, cfg.IntOpt | cfg.FloatOpt)
        }
        self.assertEqual(set(), numbers - self.named)

    def test_margin_covers_twice_what_clocks_differ_by_in_a_lease(self):
        [lease] = [opt for opt in server.OPTS if opt.dest == 'lease']
        self.assertLessEqual(2 * lease.type.max * 0.01, leases.MARGIN)
