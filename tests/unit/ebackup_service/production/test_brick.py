# SPDX-License-Identifier: Apache-2.0
import logging
import os
import threading
import time
from unittest import mock

import fixtures
from oslo_config import cfg

from ebackup_service import conf as service_conf
from ebackup_service.production import base as production
from ebackup_service.production import brick
from ebackup_service.production import errors
from ebackup_service.production import records
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import brick_fixture
from tests.unit.ebackup_service.production import played_brick

DATA = {
    'target': 'iqn.2',
    'target_portal': '192.0.2.1:3260',
    'auth_method': 'CHAP',
    'auth_username': 'u',
    'auth_password': played_brick.SECRET,
    'encrypted': True,
}


class ExitError(Exception):
    """As os-brick's commands raise: with all that they were told."""

    exit_code = 21


class BrickTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.records = records.Records(self.directory)
        self.device = self.useFixture(fixtures.TempDir()).join('device')
        with open(self.device, 'wb'):
            pass
        self.connector = played_brick.Connector(self.device)
        self.module = played_brick.Module(self.connector)
        self.library = brick.Library(self.module, 60)
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def attach(self, protocol='iscsi', data=DATA, multipath=False):
        attached = self.library.attach(
            self.records, protocol, data, multipath, production.no_check
        )
        self.addCleanup(attached.detach)
        return attached

    def written(self):
        """All that is on disk."""
        found = ''
        for name in os.listdir(self.directory):
            with open(os.path.join(self.directory, name)) as file:
                found += file.read()
        return found


class TestAttach(BrickTestCase):
    def test_attached_until_it_is_detached(self):
        attached = self.attach(multipath=True)
        self.assertEqual(self.device, attached.handle)
        self.assertEqual(['iqn.2'], self.connector.connected)
        self.assertEqual('iscsi', self.module.asked[0][0])
        self.assertTrue(self.module.asked[0][1]['use_multipath'])
        attached.detach()
        attached.detach()
        self.assertEqual([], self.connector.connected)
        self.assertEqual('', self.written())

    def test_it_is_recorded_before_it_is_attached(self):
        seen = []
        self.connector.while_connecting = lambda: seen.append(self.written())
        self.attach()
        self.assertIn('iqn.2', seen[0])
        self.assertIn(self.device, self.written())

    def test_os_brick_gets_the_secret_and_nobody_else(self):
        self.attach()
        _, data = self.connector.calls[0]
        self.assertEqual(played_brick.SECRET, data['auth_password'])
        self.assertNotIn(played_brick.SECRET, self.written())
        self.assertNotIn(played_brick.SECRET, self.log.output)

    def test_raw_data_of_an_encrypted_volume_is_read(self):
        self.attach()
        _, data = self.connector.calls[0]
        self.assertFalse(data['encrypted'])

    def test_failure_is_told_without_what_os_brick_says(self):
        self.connector.fail['connect'] = ExitError(played_brick.SECRET)
        error = self.assertRaises(errors.SourceUnavailable, self.attach)
        self.assertTrue(error.retryable)
        self.assertIn('ExitError, exit code 21', str(error))
        self.assertIsNone(error.__cause__)
        self.assertTrue(error.__suppress_context__)
        self.assertNotIn(played_brick.SECRET, str(error) + self.log.output)
        # What may be half attached is detached.
        self.assertEqual('disconnect', self.connector.calls[-1][0])
        self.assertEqual('', self.written())

    def test_unknown_protocol(self):
        self.assertRaises(errors.AttachmentInvalid, self.attach, 'unknown')
        self.assertEqual('', self.written())

    def test_what_cannot_be_detached_is_left_to_the_next_start(self):
        attached = self.attach()
        self.connector.fail['disconnect'] = OSError(played_brick.SECRET)
        attached.detach()
        self.assertNotIn(played_brick.SECRET, self.log.output)
        self.assertIn(f'({self.device}) could not', self.log.output)
        self.assertNotEqual('', self.written())
        self.connector.fail.clear()
        self.library.clean(self.records)
        self.assertEqual([], self.connector.connected)
        self.assertEqual('', self.written())

    def test_it_is_detached_when_its_device_is_gone(self):
        attached = self.attach()
        os.unlink(self.device)
        self.connector.fail['disconnect'] = OSError()
        attached.detach()
        self.assertEqual('', self.written())


class TestImage(BrickTestCase):
    """Of Ceph."""

    def test_lock_is_released_before_os_brick_closes_it(self):
        image = mock.Mock()
        seen = []
        image.lock_release.side_effect = lambda: seen.extend(
            self.connector.connected
        )
        self.connector.path = mock.Mock(rbd_image=image, rbd_conf=None)
        attached = self.attach('rbd')
        attached.detach()
        self.assertEqual(['iqn.2'], seen)
        self.assertEqual([], self.connector.connected)


class Stop(Exception):
    pass


class TestHang(BrickTestCase):
    """os-brick doesn't answer before the test lets it."""

    def setUp(self):
        super().setUp()
        self.go_on = threading.Event()
        self.addCleanup(self.go_on.set)
        self.connector.while_connecting = self.go_on.wait

    def attach_in_vain(self, error, check, timeout):
        library = brick.Library(self.module, timeout)
        start = time.monotonic()
        raised = self.assertRaises(
            error,
            *(library.attach, self.records, 'iscsi', DATA, False, check),
        )
        self.assertLess(time.monotonic() - start, 60)
        # Should the proxy end now, the next one has to detach it.
        self.assertIn('iqn.2', self.written())
        return raised

    def wait_until_nothing_is_recorded(self):
        catalog_fixture.wait_for(
            lambda: not os.listdir(self.directory), 'be detached'
        )

    def stop(self):
        raise Stop

    def test_job_that_is_stopped_does_not_wait(self):
        self.attach_in_vain(Stop, self.stop, 600)

    def test_it_does_not_wait_for_ever(self):
        error = self.attach_in_vain(
            *(errors.SourceUnavailable, production.no_check, 0.1)
        )
        self.assertIn('within 0.1 s ([proxy] attach_timeout)', str(error))

    def test_it_does_not_wait_for_ever_to_detach(self):
        self.connector.while_connecting = lambda: None
        self.connector.while_disconnecting = self.go_on.wait
        record = self.records.begin({'protocol': 'iscsi', 'data': DATA})
        attached = brick.Attached(self.connector, 'iscsi', DATA, record, 0.1)
        attached.connect()
        attached.detach()
        self.assertIn(f'({self.device}) is not detached', self.log.output)
        self.assertIn('iqn.2', self.written())
        self.go_on.set()
        self.wait_until_nothing_is_recorded()
        self.assertEqual([], self.connector.connected)

    def test_what_is_attached_late_is_detached(self):
        self.attach_in_vain(Stop, self.stop, 600)
        self.go_on.set()
        self.wait_until_nothing_is_recorded()
        self.assertEqual([], self.connector.connected)
        calls = [call[0] for call in self.connector.calls]
        self.assertEqual(['connect', 'disconnect'], calls)

    def test_what_fails_late_is_detached(self):
        self.attach_in_vain(Stop, self.stop, 600)
        self.connector.fail['connect'] = OSError()
        self.go_on.set()
        self.wait_until_nothing_is_recorded()
        calls = [call[0] for call in self.connector.calls]
        self.assertEqual(['connect', 'disconnect'], calls)


class TestClean(BrickTestCase):
    def leave(self, device=None, protocol='iscsi'):
        """As a process that was killed does."""
        record = self.records.begin(
            {
                'protocol': protocol,
                'multipath': True,
                'data': brick.without_secrets(DATA),
            }
        )
        device = {'path': self.device} if device is None else device
        record.add({'device': device})
        record.leave()
        self.connector.connected = ['iqn.2']

    def test_what_was_left_is_detached_by_force(self):
        self.leave()
        self.library.clean(self.records)
        self.assertEqual([], self.connector.connected)
        self.assertEqual('', self.written())
        _, data, device, force, ignored = self.connector.calls[-1]
        self.assertEqual('192.0.2.1:3260', data['target_portal'])
        self.assertEqual({'path': self.device}, device)
        self.assertTrue(force)
        # What os-brick could not do is to be known.
        self.assertFalse(ignored)

    def test_what_fails_is_tried_at_each_start(self):
        self.leave()
        self.connector.fail['disconnect'] = OSError(played_brick.SECRET)
        for _ in range(2):
            self.library.clean(self.records)
            self.assertIn('iqn.2', self.written())
        self.assertIn(f'({self.device}) could not', self.log.output)
        self.assertNotIn(played_brick.SECRET, self.log.output)
        self.connector.fail.clear()
        self.library.clean(self.records)
        self.assertEqual([], self.connector.connected)
        self.assertEqual('', self.written())

    def test_it_ends_when_its_device_is_gone(self):
        self.leave()
        os.unlink(self.device)
        self.connector.fail['disconnect'] = OSError()
        self.library.clean(self.records)
        self.assertEqual('', self.written())

    def test_device_that_is_not_known_may_be_attached(self):
        self.leave({})
        self.connector.fail['disconnect'] = OSError()
        self.library.clean(self.records)
        self.assertIn('iqn.2', self.written())
        self.assertIn('which device is not known', self.log.output)

    def test_what_os_brick_has_no_connector_for_stays_recorded(self):
        self.leave(protocol='unknown')
        self.library.clean(self.records)
        self.assertIn('iqn.2', self.written())

    def test_what_is_attached_now_stays(self):
        self.attach()
        self.library.clean(self.records)
        self.assertEqual(['iqn.2'], self.connector.connected)


class TestWithoutSecrets(base.BaseTestCase):
    def test_nothing_that_may_be_secret_stays(self):
        names = (
            'auth_password',
            'auth_username',
            'discovery_auth_password',
            'discovery_auth_method',
            'keyring',
            'secret_uuid',
            'dhchap_key',
            'CHAPsecret',
            'serverToken',
            'password',
            'credentials',
            'passphrase',
        )
        data = dict.fromkeys(names, played_brick.SECRET)
        nested = {**data, 'portals': [{**data, 'portal': 'p'}], 'lun': 1}
        found = brick.without_secrets({**nested, 'inner': nested})
        inner = {'portals': [{'portal': 'p'}], 'lun': 1}
        self.assertEqual({**inner, 'inner': inner}, found)

    def test_objects_are_left_out(self):
        self.assertEqual({'path': None}, brick.without_secrets({'path': self}))


class TestProperties(BrickTestCase):
    def test_they_are_os_bricks(self):
        found = self.library.properties()
        self.assertEqual('iqn.1', found['initiator'])

    def test_failure_says_what_to_look_at(self):
        self.module.properties = OSError('sudo is not there')
        error = self.assertRaises(errors.NotInstalled, self.library.properties)
        self.assertIn('privsep_helper', str(error))


class TestLoad(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(brick_fixture.GlobalOptions())

    def conf(self, **options):
        conf = service_conf.new([])
        conf.set_override(
            'state_path', self.useFixture(fixtures.TempDir()).path
        )
        for name, value in options.items():
            conf.set_override(name, value, 'proxy')
        return conf

    def test_it_needs_a_helper(self):
        error = self.assertRaises(errors.NotInstalled, brick.load, self.conf())
        self.assertIn('privsep_helper', str(error))

    def test_helper_is_os_bricks(self):
        conf = self.conf(privsep_helper='doas /x/privsep-helper')
        brick.load(conf)
        self.assertEqual(
            'doas /x/privsep-helper', cfg.CONF.privsep_osbrick.helper_command
        )
        self.assertTrue(os.path.isdir(cfg.CONF.os_brick.lock_path))

    def test_os_brick_logs_nothing(self):
        brick.load(self.conf(privsep_helper='x'))
        for name in ('os_brick.initiator.connectors.iscsi', 'oslo_privsep'):
            self.assertFalse(
                logging.getLogger(name).isEnabledFor(logging.ERROR)
            )

    def test_without_os_brick(self):
        self.useFixture(
            fixtures.MonkeyPatch('importlib.util.find_spec', lambda name: None)
        )
        error = self.assertRaises(errors.NotInstalled, brick.check_installed)
        self.assertIn('cinder-ebackup[connector]', str(error))
