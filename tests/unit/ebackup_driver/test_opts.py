# SPDX-License-Identifier: Apache-2.0
import socket

from oslo_config import cfg

from ebackup_driver import opts
from tests import base


class TestOpts(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = cfg.ConfigOpts()
        opts.register(self.conf)
        self.conf([], default_config_files=[])

    def test_defaults(self):
        group = self.conf.ebackup
        self.assertEqual('block-backup', group.service_type)
        self.assertEqual(['internal', 'public'], group.valid_interfaces)
        self.assertEqual(socket.gethostname(), group.host)
        self.assertIsNone(group.repository)
        self.assertIs(True, group.clear_parent)
        self.assertEqual(60, group.service_timeout)

    def test_every_request_ends(self):
        self.assertEqual(10, self.conf.ebackup.timeout)

    def test_beats_cannot_be_rarer_than_the_service_bears(self):
        self.assertRaises(
            ValueError, self.conf.set_override, 'poll_interval', 9, 'ebackup'
        )

    def test_may_be_registered_twice(self):
        opts.register(self.conf)

    def test_the_sample_explains_the_authentication(self):
        ((group, listed),) = opts.list_opts()
        names = [o.dest for o in listed]
        self.assertEqual('ebackup', group)
        self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual(
            {'auth_type', 'auth_url', 'username', 'password', 'endpoint'},
            set(names),
        )

    def test_the_sample_does_not_show_this_host(self):
        ((_, listed),) = opts.list_opts()
        (host,) = [o for o in listed if o.dest == 'host']
        self.assertEqual('<host name>', host.sample_default)

    def test_passwords_are_secret(self):
        ((_, listed),) = opts.list_opts()
        (password,) = [o for o in listed if o.dest == 'password']
        self.assertTrue(password.secret)
