# SPDX-License-Identifier: Apache-2.0
"""ebackup-manage with a catalog of its own, for the tests beside it."""

import contextlib
import io
import json
import uuid

from ebackup_service.cmd import manage
from ebackup_service.server import images
from tests.unit.ebackup_service.api import base as api_base


class ManageTestCase(api_base.CatalogTestCase):
    def run_command(self, *words):
        """Run a command; return its exit code and what it printed."""
        out, err = io.StringIO(), io.StringIO()
        args = ['--config-file', f'{self.directory}/ebackup.conf', *words]
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = manage.main(args)
        return code, out.getvalue(), err.getvalue()

    def ask(self, *words, code=0):
        """Run a command with --json and return what it answers."""
        found, out, err = self.run_command(*words, '--json')
        self.assertEqual(code, found, err)
        return json.loads(out)

    def refused(self, code, *words):
        """Run a command that fails; return what it says."""
        found, out, err = self.run_command(*words)
        self.assertEqual(code, found, out + err)
        self.assertEqual('', out)
        self.assertNotIn('Traceback', err)
        self.assertTrue(err.startswith('ebackup-manage: '))
        return err

    def make_image(self, state='available', **values):
        image_id = str(uuid.uuid4())
        request = api_base.image_request(**values)
        images.reserve(self.catalog, self.conf, image_id, request)
        if state != 'creating':
            self.end_jobs()
            self.move_image(
                image_id, state, bytes_stored=1536, root={'tree': None}
            )
        return image_id
