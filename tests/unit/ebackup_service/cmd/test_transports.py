# SPDX-License-Identifier: Apache-2.0
import contextlib

from ebackup_service.cmd import transports
from ebackup_service import conf as service_conf
from tests import base


class OpenedTest(base.BaseTestCase):
    def test_bus_is_closed_with_the_stack(self):
        conf = service_conf.new()
        with contextlib.ExitStack() as stack:
            transport = transports.opened(conf, stack, 'fake://')
            self.assertIs(conf, transport.conf)
            # what oslo.messaging registers in the global options only
            self.assertIn('oslo_messaging_metrics', conf)
