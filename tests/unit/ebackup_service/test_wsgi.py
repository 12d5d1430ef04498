# SPDX-License-Identifier: Apache-2.0
import importlib
import sys

import fixtures
from oslo_log import log
import webob

from ebackup_service.cmd import catalogs
from ebackup_service import conf as service_conf
from tests.unit.ebackup_service.cmd import base


class WsgiTest(base.ProgramTestCase):
    def setUp(self):
        super().setUp()
        # It would replace the log handlers of the test's process.
        self.useFixture(fixtures.MockPatchObject(log, 'setup'))
        self.addCleanup(sys.modules.pop, 'ebackup_service.wsgi', None)

    def test_catalog_that_can_only_be_read_is_noticed(self):
        self.make_tables()
        self.useFixture(
            fixtures.EnvironmentVariable('EBACKUP_CONFIG_FILE', self.path)
        )
        self.forbid_writing()
        self.useFixture(
            fixtures.MockPatchObject(
                service_conf, 'load', return_value=self.conf
            )
        )
        self.assertRaises(
            catalogs.NotReady, importlib.import_module, 'ebackup_service.wsgi'
        )

    def test_module_has_the_application(self):
        self.make_tables()
        self.useFixture(
            fixtures.EnvironmentVariable('EBACKUP_CONFIG_FILE', self.path)
        )
        module = importlib.import_module('ebackup_service.wsgi')
        response = webob.Request.blank('/').get_response(module.application)
        self.assertEqual('v1.0', response.json['versions'][0]['id'])
        response = webob.Request.blank('/v1/images').get_response(
            module.application
        )
        self.assertEqual(401, response.status_int)
