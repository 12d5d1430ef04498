# SPDX-License-Identifier: Apache-2.0
"""What the tests of the commands have in common."""

import io
import json
from unittest import mock

from osc_lib import exceptions

from tests.unit.ebackup_driver import test_client

IMAGE = '11111111-2222-4333-8444-555555555555'


class CommandTestCase(test_client.ClientTestCase):
    """Runs commands against a played service."""

    def setUp(self):
        super().setUp()
        self.service.beats_needed = 1
        patch = mock.patch('time.sleep')
        patch.start()
        self.addCleanup(patch.stop)
        self.stderr = io.StringIO()
        patch = mock.patch('sys.stderr', self.stderr)
        patch.start()
        self.addCleanup(patch.stop)

    def run_command(self, command, *arguments):
        """Return exit code and standard output."""
        self.stdout = io.StringIO()
        manager = mock.Mock(ebackup=self.client)
        app = mock.Mock(stdout=self.stdout, client_manager=manager)
        instance = command(app, None)
        parser = instance.get_parser('openstack')
        code = instance.run(parser.parse_args(arguments))
        return code, self.stdout.getvalue()

    def text(self, command, *arguments):
        return self.run_command(command, *arguments)[1]

    def json(self, command, *arguments):
        code, text = self.run_command(command, *arguments, '--json')
        self.assertEqual(0, code)
        return json.loads(text)

    def misused(self, command, *arguments):
        """Return what is said of a command line that is wrong."""
        stopped = self.assertRaises(
            SystemExit, self.run_command, command, *arguments
        )
        self.assertEqual(2, stopped.code)
        self.assertEqual([], self.service.requests)
        return self.stderr.getvalue()

    def failure(self, command, *arguments):
        error = self.assertRaises(
            exceptions.CommandError, self.run_command, command, *arguments
        )
        return str(error)

    def make_image(self, image_id=IMAGE, **values):
        """Have an available image."""
        self.client.reserve_image(
            image_id, test_client.image_request(**values)
        )
        job = self.service.jobs[self.service.images[image_id]['job_id']]
        self.service._succeed(job)
        return self.service.images[image_id]
