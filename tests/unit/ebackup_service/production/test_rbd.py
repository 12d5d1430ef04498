# SPDX-License-Identifier: Apache-2.0
import logging
import os
import sys
import threading
import time
from unittest import mock

import fixtures
import jsonschema

from ebackup_service import conf as service_conf
from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.production import rbd
from ebackup_service.production import registry
from tests import base
from tests import ceph
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import conformance_snapshots
from tests.unit.ebackup_service.production import rbd_case

MIB = 1 << 20


class ConformanceTest(
    conformance_snapshots.SnapshotTests,
    conformance_snapshots.ChangedTests,
    conformance.ConformanceTests,
    rbd_case.RbdTestCase,
):
    OTHER_SIZES = (rbd_case.GIB + conformance.ConformanceTests.SIZE,)

    def make_volume(self):
        self.create(self.SIZE, order=20)
        storage = self.storage()
        storage.find(self.reference())  # from now on it is connected
        return storage

    def reference(self):
        return production.Reference(conformance.VOLUME_ID, name=self.name)

    def places(self):
        return [self.name, self.ceph.mon_host, f'{ceph.POOL}/']

    def missing(self):
        return production.Reference(conformance.VOLUME_ID, name='volume-no')

    def of_snapshot(self, name):
        with self.image() as image:
            image.create_snap(name)
        cinders = production.CinderSnapshot(conformance.VOLUME_ID, name)
        return production.Reference(
            conformance.VOLUME_ID, name=self.name, snapshot=cinders
        )

    def recreate(self):
        self.remove()
        self.create(self.SIZE, order=20)

    fill = rbd_case.RbdTestCase.fill
    content = rbd_case.RbdTestCase.content


class ConformanceWithoutMapTest(ConformanceTest):
    """The features that an image has at least."""

    def make_volume(self):
        self.create(self.SIZE, order=20, features=rbd_case.LAYERING)
        storage = self.storage()
        storage.find(self.reference())
        return storage


class RegistrationTest(base.BaseTestCase):
    def test_settings(self):
        validate = jsonschema.Draft202012Validator(rbd.RbdStorage.SETTINGS)
        for good in (
            {'pool': 'volumes'},
            {'pool': 'volumes', 'namespace': 'a', 'user': 'backup'},
            {'pool': 'volumes', 'cluster': 'ceph-2', 'timeout': 10},
            {'pool': 'v', 'mon_host': '[v2:10.0.0.1:3300],10.0.0.2:6789'},
        ):
            validate.validate(good)
        for bad in (
            {},
            {'pool': ''},
            {'pool': 'volumes', 'key': 'x'},
            {'pool': 'volumes', 'cluster': '../../root/x'},
            {'pool': 'volumes', 'mon_host': '/etc/passwd'},
            {'pool': 'volumes', 'mon_host': 'a', 'cluster': 'ceph'},
            {'pool': 'volumes', 'timeout': 0},
        ):
            self.assertFalse(validate.is_valid(bad), bad)

    def test_credentials(self):
        validate = jsonschema.Draft202012Validator(rbd.RbdStorage.CREDENTIALS)
        validate.validate({'key': 'AQD6Zw5ewlVVNhAA1aYZzRr4nUUXm/GOhkxZKQ=='})
        validate.validate({})
        for bad in {'key': 'two words'}, {'key': ''}, {'secret': 'x'}:
            self.assertFalse(validate.is_valid(bad), bad)

    def test_is_found_without_the_library(self):
        with mock.patch.dict(sys.modules, {'rados': None, 'rbd': None}):
            found = registry.storage_class('rbd')
            self.assertIs(rbd.RbdStorage, found)
            error = self.assertRaises(
                errors.NotInstalled,
                *(registry.open_storage, 'rbd', service_conf.new()),
                {'pool': 'volumes'},
            )
            self.assertIn('python3-rbd', str(error))
            self.assertRaises(errors.NotInstalled, found.check_installed)


class ConnectionTest(rbd_case.RbdTestCase):
    def setUp(self):
        super().setUp()
        self.logged = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def find_with(self, credentials=None, **settings):
        storage = rbd.RbdStorage.from_conf(
            None,
            self.ceph.settings(**settings),
            self.ceph.credentials() if credentials is None else credentials,
        )
        self.addCleanup(storage.close)
        return storage.find(self.reference())

    def test_is_installed_here(self):
        rbd.RbdStorage.check_installed()

    def test_wrong_key_is_refused_and_told_to_nobody(self):
        before = len(os.listdir('/proc/self/task'))
        key = self.ceph.key('admin')
        error = self.assertRaises(
            errors.CredentialsRefused, self.find_with, {'key': key}
        )
        self.assertFalse(error.retryable)
        self.assertIn('client.ebackup', str(error))
        ceph.wait_for(
            lambda: len(os.listdir('/proc/self/task')) <= before,
            'that nothing of it is left',
        )
        self.assertNotIn(key, str(error))
        self.assertNotIn(key, self.logged.output)

    def test_no_key_and_unknown_user(self):
        self.assertRaises(errors.AccessDenied, self.find_with, {})
        self.assertRaises(errors.AccessDenied, self.find_with, user='nobody')

    def test_key_that_is_none(self):
        error = self.assertRaises(
            errors.AccessDenied, self.find_with, {'key': 'bm9uZQ=='}
        )
        self.assertNotIn('bm9uZQ==', str(error))

    def test_user_without_capabilities(self):
        self.create(MIB)
        error = self.assertRaises(
            errors.AccessDenied,
            self.storage('stranger').find,
            self.reference(),
        )
        self.assertEqual('access-denied', error.kind)
        self.assertIn('capabilities', str(error))

    def test_unknown_pool(self):
        error = self.assertRaises(
            errors.VolumeUnknown, self.find_with, pool='tapes'
        )
        self.assertIn('tapes', str(error))

    def test_nobody_answers(self):
        start = time.monotonic()
        error = self.assertRaises(
            errors.SourceUnavailable,
            self.find_with,
            mon_host='[v2:127.0.0.1:9]',
            timeout=2,
        )
        self.assertTrue(error.retryable)
        self.assertIn('127.0.0.1:9', str(error))
        self.assertLess(time.monotonic() - start, 10)

    def test_job_that_is_stopped_meanwhile(self):
        class Stopped(Exception):
            pass

        storage = self.storage(
            check=mock.Mock(side_effect=Stopped),
            mon_host='[v2:127.0.0.1:9]',
            timeout=20,
        )
        start = time.monotonic()
        self.assertRaises(Stopped, storage.find, self.reference())
        storage.close()
        self.assertLess(time.monotonic() - start, 5)

    def test_monitor_of_an_unknown_name(self):
        error = self.assertRaises(
            errors.SourceUnavailable,
            self.find_with,
            mon_host='monitor.invalid',
            timeout=2,
        )
        self.assertIn('monitor.invalid', str(error))

    def test_missing_configuration_file(self):
        storage = rbd.RbdStorage.from_conf(
            None, {'pool': 'volumes', 'cluster': 'no-such'}, {}
        )
        error = self.assertRaises(
            errors.SourceUnavailable, storage.find, self.reference()
        )
        self.assertIn('/etc/ceph/no-such.conf', str(error))

    def test_volume_without_a_name(self):
        self.assertRaises(
            errors.AttachmentInvalid,
            self.storage().find,
            production.Reference('a volume'),
        )

    def test_threads_share_one_connection_that_ends(self):
        self.create(MIB)
        before = len(os.listdir('/proc/self/task'))
        storage = self.storage()
        clients = set()

        def find() -> None:
            clients.add(storage.find(self.reference())._cluster.client)

        threads = [threading.Thread(target=find) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1, len(clients))
        storage.close()
        storage.close()
        ceph.wait_for(
            lambda: len(os.listdir('/proc/self/task')) <= before,
            'that its threads have ended',
        )
