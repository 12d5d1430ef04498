# SPDX-License-Identifier: Apache-2.0
"""The class itself: what Cinder expects of it, and its configuration."""

import inspect
import socket
from unittest import mock

from cinder.backup import driver as cinder_driver
from cinder import exception
from cinder import interface
from oslo_utils import importutils

from ebackup_driver import driver
from tests.unit.ebackup_driver import base

PATH = 'ebackup_driver.driver.EBackupDriver'
OPERATIONS = (
    'backup',
    'restore',
    'delete_backup',
    'export_record',
    'import_record',
    'check_for_setup_error',
)


class TestInterface(base.DriverTestCase):
    def test_signatures_are_those_of_cinder(self):
        for name in ('__init__', *OPERATIONS):
            expected = getattr(cinder_driver.BackupDriver, name)
            actual = getattr(driver.EBackupDriver, name)
            self.assertEqual(
                inspect.signature(expected), inspect.signature(actual), name
            )

    def test_every_operation_is_its_own(self):
        # Cinder's base class answers some of them with nothing.
        for name in (*OPERATIONS, 'get_driver_options'):
            self.assertIn(name, vars(driver.EBackupDriver))

    def test_has_nothing_else_to_call(self):
        inherited = {
            n for n, _ in inspect.getmembers(cinder_driver.BackupDriver)
        }
        own = {
            name
            for name, _ in inspect.getmembers(
                driver.EBackupDriver, inspect.isroutine
            )
            if not name.startswith('_')
        }
        self.assertEqual({'get_driver_options'}, own - inherited)

    def test_is_loaded_by_its_path_for_ever(self):
        self.assertIs(driver.EBackupDriver, importutils.import_class(PATH))

    def test_the_path_gets_no_special_treatment_by_cinder(self):
        self.assertNotIn('posix', PATH)
        self.assertNotIn('backup.drivers.ceph', PATH)

    def test_is_registered_with_cinder(self):
        self.assertIn(driver.EBackupDriver, interface._backup_register)

    def test_lists_its_options(self):
        names = {o.name for o in driver.EBackupDriver.get_driver_options()}
        self.assertLessEqual({'repository', 'host', 'clear_parent'}, names)

    def test_an_instance_is_made_without_any_request(self):
        self.driver()
        self.assertEqual([], self.service.requests)


class TestSetup(base.DriverTestCase):
    def check(self, **options):
        self.configure(**options)
        with mock.patch.object(
            socket, 'socket', side_effect=AssertionError('I/O')
        ):
            self.driver().check_for_setup_error()

    def refused(self, **options):
        error = self.assertRaises(
            exception.InvalidConfigurationValue, self.check, **options
        )
        return str(error)

    def test_good_options_pass_without_any_io(self):
        self.check()
        self.check(auth_type='http_basic', username='u', password='p')
        self.check(
            auth_type='password',
            auth_url='http://keystone.invalid/v3',
            username='u',
            password='p',
            endpoint_override=None,
        )

    def test_an_unreachable_service_passes(self):
        self.server.stop()
        self.check()

    def test_missing_auth_type(self):
        self.assertIn(
            '[ebackup] auth_type: missing', self.refused(auth_type=None)
        )

    def test_unknown_auth_type(self):
        self.assertIn('[ebackup] auth_type', self.refused(auth_type='psychic'))

    def test_missing_identity_url(self):
        self.assertIn(
            'auth_url',
            self.refused(auth_type='password', username='u', password='p'),
        )

    def test_missing_user_name(self):
        self.assertIn(
            'username: missing',
            self.refused(auth_type='http_basic', password='p'),
        )

    def test_missing_password(self):
        self.assertIn(
            'password: missing',
            self.refused(auth_type='http_basic', username='u'),
        )

    def test_no_endpoint_without_a_catalog(self):
        self.assertIn(
            'endpoint_override: missing', self.refused(endpoint_override=None)
        )

    def test_an_endpoint_that_is_no_url(self):
        self.assertIn(
            'endpoint_override: must begin with',
            self.refused(endpoint_override='127.0.0.1:8790'),
        )

    def test_unknown_interface(self):
        self.assertIn(
            'valid_interfaces: unknown intern',
            self.refused(valid_interfaces=['intern']),
        )
