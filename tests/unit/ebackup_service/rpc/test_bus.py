# SPDX-License-Identifier: Apache-2.0

import sys

import fixtures
import oslo_messaging

from ebackup_service import conf as service_conf
from ebackup_service.rpc import bus
from tests import base


class TestPrepare(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.transport = oslo_messaging.get_rpc_transport(
            service_conf.new(), url='fake://'
        )
        self.addCleanup(self.transport.cleanup)

    def test_it_may_be_repeated(self):
        for _ in range(2):
            self.assertIs(self.transport, bus.prepare(self.transport))

    def test_versions_without_these_options_need_nothing(self):
        for module in bus._GROUPS.values():
            self.useFixture(
                fixtures.MonkeyPatch(
                    'sys.modules', {**sys.modules, module: None}
                )
            )
        self.assertIs(self.transport, bus.prepare(self.transport))
