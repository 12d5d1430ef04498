# SPDX-License-Identifier: Apache-2.0
"""The commands as OpenStackClient finds and runs them."""

import argparse
import base64
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib
from unittest import mock

import fixtures
from keystoneauth1 import noauth
from keystoneauth1 import session

from ebackup_driver import errors
from ebackup_driver.osc import plugin
from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import http_server
from tests.unit.ebackup_driver import played_identity

PYPROJECT = pathlib.Path(__file__).parents[4] / 'pyproject.toml'
IMAGE = '11111111-2222-4333-8444-555555555555'
ENTRY_POINTS = {
    'openstack.cli.extension': {'ebackup': 'ebackup_driver.osc.plugin'},
    'openstack.ebackup.v1': {
        'ebackup_image_list': 'ebackup_driver.osc.image:ListImages',
        'ebackup_image_set': 'ebackup_driver.osc.image:SetImage',
        'ebackup_image_show': 'ebackup_driver.osc.image:ShowImage',
        'ebackup_image_delete': 'ebackup_driver.osc.image:DeleteImage',
        'ebackup_job_list': 'ebackup_driver.osc.job:ListJobs',
        'ebackup_job_show': 'ebackup_driver.osc.job:ShowJob',
        'ebackup_job_cancel': 'ebackup_driver.osc.job:CancelJob',
        'ebackup_repository_create': (
            'ebackup_driver.osc.repository:CreateRepository'
        ),
        'ebackup_repository_delete': (
            'ebackup_driver.osc.repository:DeleteRepository'
        ),
        'ebackup_repository_list': (
            'ebackup_driver.osc.repository:ListRepositories'
        ),
        'ebackup_repository_show': (
            'ebackup_driver.osc.repository:ShowRepository'
        ),
        'ebackup_repository_usage': 'ebackup_driver.osc.repository:ShowUsage',
        'ebackup_storage_create': 'ebackup_driver.osc.storage:CreateStorage',
        'ebackup_storage_delete': 'ebackup_driver.osc.storage:DeleteStorage',
        'ebackup_storage_list': 'ebackup_driver.osc.storage:ListStorages',
        'ebackup_storage_set': 'ebackup_driver.osc.storage:SetStorage',
        'ebackup_storage_show': 'ebackup_driver.osc.storage:ShowStorage',
        'ebackup_repository_collect': (
            'ebackup_driver.osc.repository:CollectRepository'
        ),
        'ebackup_repository_gc': (
            'ebackup_driver.osc.repository:CollectRepository'
        ),
        'ebackup_repository_check': (
            'ebackup_driver.osc.repository:CheckRepository'
        ),
        'ebackup_repository_rebuild_catalog': (
            'ebackup_driver.osc.repository:RebuildCatalog'
        ),
        'ebackup_proxy_list': 'ebackup_driver.osc.proxy:ListProxies',
    },
}


class TestEntryPoints(base.ServiceTestCase):
    def test_are_declared_by_the_distribution(self):
        project = tomllib.loads(PYPROJECT.read_text())['project']
        declared = project['entry-points']
        for group, expected in ENTRY_POINTS.items():
            self.assertEqual(expected, declared.get(group), group)

    def test_lead_to_commands_that_explain_themselves(self):
        for value in ENTRY_POINTS['openstack.ebackup.v1'].values():
            module, _, name = value.partition(':')
            command = getattr(importlib.import_module(module), name)
            parser = command(mock.Mock(), None).get_parser('openstack')
            self.assertIn('--json', parser.format_help())
            self.assertTrue(command.__doc__)


class TestPlugin(base.ServiceTestCase):
    def client(self, **configuration):
        instance = mock.Mock(
            session=session.Session(),
            auth=noauth.NoAuth(endpoint='http://catalog.invalid'),
            interface=None,
            region_name=None,
        )
        instance.get_configuration.return_value = configuration
        return plugin.make_client(instance)

    def test_the_endpoint_may_be_set_in_clouds_yaml(self):
        client = self.client(block_backup_endpoint_override=self.server.url)
        self.assertEqual([], client.proxies())

    def test_without_that_it_is_looked_up(self):
        error = self.assertRaises(
            errors.ServiceUnreachable, self.client().proxies
        )
        self.assertIn('http://catalog.invalid', str(error))

    def test_has_an_option_for_its_version(self):
        parser = plugin.build_option_parser(argparse.ArgumentParser())
        self.assertEqual('1', parser.parse_args([]).os_ebackup_api_version)
        self.assertIn('1', plugin.API_VERSIONS)


class TestShell(base.ServiceTestCase):
    def setUp(self):
        super().setUp()
        self.service.repositories['vault'] = {
            'id': 'r1',
            'name': 'vault',
            'url': 'file:///srv/vault',
            'state': 'available',
        }
        self.site = self.useFixture(fixtures.TempDir()).path
        self.install()

    def install(self):
        """Declare the entry points as an installed distribution would."""
        info = pathlib.Path(self.site, 'cinder_ebackup_test-0.dist-info')
        info.mkdir()
        (info / 'METADATA').write_text(
            'Metadata-Version: 2.1\nName: cinder-ebackup-test\nVersion: 0\n'
        )
        lines = []
        for group, points in ENTRY_POINTS.items():
            lines.append(f'[{group}]')
            lines += [f'{name} = {value}' for name, value in points.items()]
        (info / 'entry_points.txt').write_text('\n'.join(lines) + '\n')

    def openstack(self, *arguments, **options):
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith('OS_')
        }
        search = [self.site, str(PYPROJECT.parent)]
        environ['PYTHONPATH'] = os.pathsep.join(search)
        environ['HOME'] = self.site
        environ.update(options)
        program = 'import sys; from openstackclient import shell; '
        program += 'sys.exit(shell.main(sys.argv[1:]))'
        return subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', program, *arguments],
            env=environ,
            cwd=self.site,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def repositories(self, *arguments, **options):
        done = self.openstack(
            *arguments, 'ebackup', 'repository', 'list', '--json', **options
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return [row['Name'] for row in json.loads(done.stdout)]

    def test_with_a_password_of_the_service(self):
        found = self.repositories(
            OS_AUTH_TYPE='http_basic',
            OS_ENDPOINT=self.server.url,
            OS_USERNAME='eve',
            OS_PASSWORD='s3cret',
        )
        self.assertEqual(['vault'], found)
        (request,) = self.service.requests
        self.assertEqual(
            'Basic ' + base64.b64encode(b'eve:s3cret').decode(),
            request.headers['HTTP_AUTHORIZATION'],
        )

    def keystone(self):
        identity = played_identity.PlayedIdentity()
        server = self.useFixture(http_server.HttpServer(identity))
        identity.url = server.url
        identity.catalog = [('public', 'north', self.server.url)]
        return {
            'OS_AUTH_URL': f'{server.url}/v3',
            'OS_USERNAME': 'admin',
            'OS_PASSWORD': identity.PASSWORD,
            'OS_PROJECT_NAME': 'admin',
            'OS_USER_DOMAIN_NAME': 'Default',
            'OS_PROJECT_DOMAIN_NAME': 'Default',
        }

    def test_with_keystone(self):
        self.assertEqual(['vault'], self.repositories(**self.keystone()))
        (request,) = self.service.requests
        self.assertTrue(
            request.headers['HTTP_X_AUTH_TOKEN'].startswith('token-')
        )

    def test_without_authentication_and_without_success(self):
        done = self.openstack(
            *('--os-auth-type', 'none', '--os-endpoint', self.server.url),
            *('ebackup', 'image', 'show', IMAGE),
        )
        self.assertEqual(1, done.returncode)
        self.assertEqual(f'No image {IMAGE}.\n', done.stderr)
        self.assertEqual('', done.stdout)
