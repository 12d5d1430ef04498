# SPDX-License-Identifier: Apache-2.0
import os

import fixtures
from oslo_config import cfg

from ebackup_service import conf
from tests import base
from tests.benchmarks import data


class NewTest(base.BaseTestCase):
    def _file(self, text):
        path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'ebackup.conf'
        )
        with open(path, 'w') as out:
            out.write(text)
        return path

    def test_defaults_need_no_file(self):
        options = conf.new()
        self.assertEqual('127.0.0.1', options.api.host)
        self.assertEqual(8790, options.api.port)
        self.assertEqual('keystone', options.api.auth_strategy)
        self.assertEqual(131072, options.repository.chunk_size)
        # Benchmarks measure what is so by default.
        self.assertEqual(data.CHUNK, options.repository.chunk_size)

    def test_two_objects_are_independent(self):
        one, other = conf.new(), conf.new()
        one.set_override('port', 1, group='api')
        self.assertEqual(8790, other.api.port)
        self.assertIsNot(cfg.CONF, one)

    def test_catalog_is_below_the_state_path(self):
        options = conf.new([self._file('[DEFAULT]\nstate_path = /x\n')])
        self.assertEqual(
            'sqlite:////x/ebackup.sqlite', options.database.connection
        )

    def test_bad_value_names_the_option(self):
        path = self._file('[repository]\nchunk_size = 1000\n')
        options = conf.new([path])
        error = self.assertRaises(
            cfg.ConfigFileValueError,
            lambda: options.repository.chunk_size,
        )
        self.assertIn('chunk_size', str(error))

    def test_load_reads_the_file_of_the_command_line(self):
        path = self._file('[api]\nport = 1234\n')
        options = conf.load('ebackup-api', ['--config-file', path])
        self.assertEqual(1234, options.api.port)
