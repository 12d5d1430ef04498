# SPDX-License-Identifier: Apache-2.0
import threading

import fixtures
from keystoneauth1 import loading
from oslo_config import cfg

from ebackup_driver import client as clients
from ebackup_driver import errors
from ebackup_driver import opts
from ebackup_driver import session
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import http_server
from tests.unit.ebackup_driver import played_identity


class TestSharedConnection(base.DriverTestCase):
    def connections(self, count):
        made = []
        threads = [
            threading.Thread(
                target=lambda: made.append(session._shared(base.CONF))
            )
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {id(c.session) for c in made}

    def test_is_one_for_all_threads(self):
        self.assertEqual(1, len(self.connections(16)))

    def test_is_made_anew_when_forgotten(self):
        first = session._shared(base.CONF)
        session.forget()
        self.assertIsNot(first, session._shared(base.CONF))

    def test_gives_up_on_a_silent_service(self):
        self.configure(timeout=0.2)
        silent = threading.Event()
        self.addCleanup(silent.set)
        self.service.hooks.append(lambda request: silent.wait(30))
        client = session.connect(base.CONF)
        error = self.assertRaises(errors.ServiceUnreachable, client.job, 'j')
        self.assertRegex(str(error), '^No answer in time: no connection to')

    def test_does_not_wait_long_for_the_answer_to_a_beat(self):
        self.useFixture(
            fixtures.MockPatchObject(clients, '_BEAT_TIMEOUT', 0.2)
        )
        silent = threading.Event()
        self.addCleanup(silent.set)
        self.service.hooks.append(lambda request: silent.wait(30))
        client = session.connect(base.CONF)
        self.assertRaises(errors.ServiceUnreachable, client.beat, 'j')
        self.assertEqual(1, len(self.service.requests))

    def test_cannot_be_made_without_authentication(self):
        self.configure(auth_type=None)
        self.assertRaises(errors.NotConfigured, session.connect, base.CONF)


class TestKeystone(base.DriverTestCase):
    def setUp(self):
        super().setUp()
        self.identity = played_identity.PlayedIdentity()
        self.keystone = self.useFixture(http_server.HttpServer(self.identity))
        self.identity.url = self.keystone.url
        self.identity.catalog = [
            ('public', 'north', 'http://public.invalid'),
            ('internal', 'north', self.server.url),
        ]
        self.configure(
            auth_type='password',
            auth_url=f'{self.keystone.url}/v3',
            username='cinder',
            password=played_identity.PlayedIdentity.PASSWORD,
            user_domain_name='Default',
            endpoint_override=None,
        )

    def connect(self):
        return session.connect(base.CONF)

    def test_a_token_serves_many_operations(self):
        for _ in range(3):
            volume = cinder_records.volume()
            self.driver().backup(
                cinder_records.backup(volume), self.volume_file
            )
        self.assertEqual(1, self.identity.tokens)
        self.assertEqual(
            {'token-1'},
            {
                request.headers['HTTP_X_AUTH_TOKEN']
                for request in self.service.requests
            },
        )

    def test_nothing_but_the_api_is_asked(self):
        # No discovery of versions at every start.
        list(self.connect().jobs())
        self.assertEqual(['/v1/jobs'], [r.path for r in self.service.requests])

    def test_the_endpoint_is_that_of_the_region(self):
        self.identity.catalog.append(
            ('internal', 'south', 'http://south.invalid')
        )
        self.configure(region_name='south')
        error = self.assertRaises(
            errors.ServiceUnreachable, self.connect().job, 'j'
        )
        self.assertIn('http://south.invalid', str(error))

    def test_a_service_that_is_not_registered(self):
        self.identity.catalog = []
        error = self.assertRaises(
            errors.NotConfigured, self.connect().job, 'j'
        )
        self.assertIn('register the service', str(error))

    def test_wrong_credentials(self):
        self.configure(password='guess')
        error = self.assertRaises(
            errors.AuthenticationFailed, self.connect().job, 'j'
        )
        self.assertRegex(str(error), '^Unauthorized .* identity service')
        self.assertNotIn('guess', str(error))

    def test_no_permission(self):
        self.identity.status = '403 Forbidden'
        error = self.assertRaises(
            errors.ServiceFailed, self.connect().job, 'j'
        )
        self.assertIn('(HTTP 403) by the identity service', str(error))

    def test_an_identity_service_in_trouble_is_an_outage(self):
        self.identity.status = '503 Service Unavailable'
        error = self.assertRaises(
            errors.ServiceUnreachable, self.connect().job, 'j'
        )
        self.assertIn(self.keystone.url, str(error))

    def test_no_identity_service_is_an_outage(self):
        self.keystone.stop()
        error = self.assertRaises(
            errors.ServiceUnreachable, self.connect().job, 'j'
        )
        self.assertIn(self.keystone.url, str(error))

    def test_options_may_stand_in_another_section(self):
        self.configure(auth_type=None, auth_section='cinder_user')
        self.config.register_opts(
            [
                *loading.get_auth_common_conf_options(),
                *loading.get_auth_plugin_conf_options('none'),
            ],
            group='cinder_user',
        )
        self.config.config(
            group='cinder_user', auth_type='none', endpoint=self.server.url
        )
        session.check(base.CONF)
        self.assertEqual([], list(self.connect().jobs()))


class TestCheck(base.ServiceTestCase):
    def read(self, *lines):
        path = self.useFixture(fixtures.TempDir()).join('cinder.conf')
        with open(path, 'w') as stream:
            print('[ebackup]', *lines, sep='\n', file=stream)
        conf = cfg.ConfigOpts()
        opts.register(conf)
        conf([], default_config_files=[path])
        return conf

    def test_reads_the_section_of_cinders_file(self):
        session.check(
            self.read(
                'auth_type = http_basic',
                'username = cinder',
                'password = s3cret',
                'endpoint = http://127.0.0.1:8790',
            )
        )

    def test_finds_values_out_of_range(self):
        for line in ('poll_interval = 9', 'service_timeout = long'):
            conf = self.read('auth_type = none', line)
            error = self.assertRaises(
                errors.NotConfigured, session.check, conf
            )
            self.assertTrue(str(error).startswith(line.split()[0]))
