# SPDX-License-Identifier: Apache-2.0
"""What the tests of the driver have in common."""

import itertools
import re

from cinder import utils
import fixtures
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_config import fixture as config_fixture

from ebackup_driver import driver
from ebackup_driver import session
from ebackup_service.production import errors
from ebackup_service.production import hold
from tests import base
from tests.unit.ebackup_driver import cinder_records
from tests.unit.ebackup_driver import http_server
from tests.unit.ebackup_driver import played_service

CONF = cfg.CONF

BEAT = '/v1/jobs/[^/]+/heartbeat'
CANCEL = '/v1/jobs/[^/]+/cancel'
JOB = '/v1/jobs/[^/]+'
IMAGE = '/v1/images/[^/]+'


class ServiceTestCase(base.BaseTestCase):
    """Has self.service, played, and self.server, which serves it."""

    def setUp(self):
        super().setUp()
        self.service = played_service.PlayedService()
        self.server = self.useFixture(http_server.HttpServer(self.service))


class DriverTestCase(ServiceTestCase):
    """The driver over Cinder's real objects, talking to a played service."""

    def setUp(self):
        super().setUp()
        cinder_records.prepare()
        self.config = self.useFixture(config_fixture.Config(CONF))
        session.forget()
        self.addCleanup(session.forget)
        self.configure(
            auth_type='none',
            endpoint_override=self.server.url,
            host='backup-host',
            poll_interval=0.1,
            service_timeout=5.0,
        )
        self.volume_file = self.open_file()

    def configure(self, **options):
        """Set options of [ebackup], those of an auth_type included."""
        for auth_type in ('password', 'http_basic'):
            plugin_options = loading.get_auth_plugin_conf_options(auth_type)
            CONF.register_opts(plugin_options, group='ebackup')
        self.config.config(group='ebackup', **options)

    def open_file(self, mode='rb'):
        """Open a file as Cinder opens a device: behind a proxy if eventlet."""
        self.path = self.useFixture(fixtures.TempDir()).join('device')
        with open(self.path, 'wb') as stream:
            stream.write(b'device')
        stream = open(self.path, mode)
        self.addCleanup(stream.close)
        return utils.tpool_wrap(stream)

    def driver(self, context=None):
        """Return a new instance, as Cinder makes one for each operation."""
        return driver.EBackupDriver(context or cinder_records.user_context())

    def at(self, method, pattern, action, nth=1):
        """Call action at the nth request that matches."""
        count = itertools.count(1)

        def hook(request):
            if request.method != method:
                return
            if re.fullmatch(pattern, request.path) and next(count) == nth:
                action()

        self.service.hooks.append(hook)

    def assert_no_beat_after(self, method, pattern):
        """Check that a request was made, and the last beat before it."""
        kinds = [
            'beat' if re.fullmatch(BEAT, r.path) else 'other'
            for r in self.service.requests
        ]
        first = self.service.requests.index(
            self.service.said(method, pattern)[0]
        )
        self.assertNotIn('beat', kinds[first:])

    def is_held(self):
        """Return whether the proxy would see the volume held."""
        attachment = list(self.service.attachments.values())[-1]
        seen = hold.Hold(attachment['path'], attachment['lock'])
        with open(attachment['path'], 'rb') as stream:
            try:
                seen.check(stream.fileno())
            except errors.DriverLost:
                return False
        return True

    def job_states(self, *kinds):
        """Of the jobs of these kinds; of all, but for deletions."""
        return [
            job['state']
            for job in self.service.jobs.values()
            if (job['kind'] in kinds if kinds else job['kind'] != 'delete')
        ]
