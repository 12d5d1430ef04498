# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

import fixtures
from oslo_config import cfg

from ebackup_service.production import attached
from ebackup_service.production import errors
from tests import base
from tests.unit.ebackup_service.production import holder
from tests.unit.ebackup_service.production import loops

MIB = 1 << 20


class AttachedStorageTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.root, 'volume')
        with open(self.path, 'wb') as file:
            file.write(b'x' * MIB)
        self.storage = attached.AttachedStorage([self.root], 'here')

    def attachment(self, **changes):
        return {
            'kind': 'attached',
            'host': 'here',
            'path': self.path,
            **changes,
        }

    def open_source(self, size=MIB, **changes):
        source = self.storage.open_source(self.attachment(**changes), size)
        self.addCleanup(source.close)
        return source

    def open_target(self, size=MIB, **changes):
        target = self.storage.open_target(
            self.attachment(**changes), size, volume_is_new=False
        )
        self.addCleanup(target.close)
        return target

    def test_file(self):
        buffer = bytearray(MIB)
        self.open_source().read_into(0, memoryview(buffer))
        self.assertEqual(b'x' * MIB, buffer)
        self.open_target().write(0, memoryview(b'new'))
        with open(self.path, 'rb') as file:
            self.assertEqual(b'newxx', file.read(5))

    def test_device(self):
        reason = loops.why_not()
        if reason:
            self.skipTest(reason)
        loop = self.useFixture(loops.LoopDevice(MIB))
        storage = attached.AttachedStorage(['/dev'], 'here')
        attachment = self.attachment(path=loop.path)
        source = storage.open_source(attachment, MIB)
        self.assertEqual(1, len(list(source.extents())))
        source.close()
        target = storage.open_target(attachment, MIB, volume_is_new=True)
        self.assertEqual(512, target.alignment)
        target.close()

    def test_other_host(self):
        for opener in (self.open_source, self.open_target):
            error = self.assertRaises(errors.WrongHost, opener, host='there')
            self.assertIn('there', str(error))

    def test_not_an_attachment(self):
        for attachment in (
            {},
            {'kind': 'attached', 'host': 'here'},
            self.attachment(path=None),
            self.attachment(more='fields'),
            self.attachment(lock='somewhere'),
        ):
            self.assertRaises(
                errors.AttachmentInvalid,
                self.storage.open_source,
                attachment,
                MIB,
            )

    def test_outside_the_roots(self):
        for opener in (self.open_source, self.open_target):
            self.assertRaises(errors.PathForbidden, opener, path='/etc/passwd')

    def test_unknown(self):
        self.assertRaises(
            errors.PathUnknown, self.open_source, path=self.path + 'x'
        )

    def test_failure_to_open(self):
        error = OSError(5, 'Input/output error')
        with mock.patch.object(os, 'open', side_effect=error):
            raised = self.assertRaises(
                errors.SourceUnavailable, self.open_source
            )
            self.assertTrue(raised.retryable)
            self.assertRaises(errors.TargetUnavailable, self.open_target)

    def test_refused_leaves_no_descriptor(self):
        before = len(os.listdir('/proc/self/fd'))
        for opener in (self.open_source, self.open_target):
            self.assertRaises(errors.SizeMismatch, opener, size=MIB + 1)
        self.assertEqual(before, len(os.listdir('/proc/self/fd')))

    def test_held_volume_is_used(self):
        driver = self.useFixture(holder.Holder(self.path))
        self.open_source(lock=driver.lock).read_into(
            0, memoryview(bytearray(1))
        )
        self.open_target(lock=driver.lock).write(0, memoryview(b'new'))

    def test_volume_that_was_let_go_is_not_opened(self):
        driver = self.useFixture(holder.Holder(self.path))
        driver.let_go()
        open(self.path, 'wb').close()  # as Cinder leaves a file to restore to
        before = len(os.listdir('/proc/self/fd'))
        for opener in (self.open_source, self.open_target):
            error = self.assertRaises(
                errors.DriverLost, opener, lock=driver.lock
            )
            self.assertIn(self.path, str(error))
        self.assertEqual(0, os.path.getsize(self.path))
        self.assertEqual(before, len(os.listdir('/proc/self/fd')))

    def test_volume_that_is_let_go_is_left_alone_at_once(self):
        driver = self.useFixture(holder.Holder(self.path))
        source = self.open_source(lock=driver.lock)
        target = self.open_target(lock=driver.lock)
        driver.let_go()
        for action in (
            lambda: source.read_into(0, memoryview(bytearray(1))),
            lambda: target.read_into(0, memoryview(bytearray(1))),
            lambda: target.write(0, memoryview(b'new')),
            lambda: target.zero(0, MIB),
        ):
            self.assertRaises(errors.DriverLost, action)
        with open(self.path, 'rb') as file:
            self.assertEqual(b'x' * MIB, file.read())

    def test_device_that_is_let_go_is_left_alone_at_once(self):
        reason = loops.why_not()
        if reason:
            self.skipTest(reason)
        path = self.useFixture(loops.LoopDevice(MIB)).path
        storage = attached.AttachedStorage(['/dev'], 'here')
        driver = self.useFixture(holder.Holder(path))
        attachment = self.attachment(path=path, lock=driver.lock)
        target = storage.open_target(attachment, MIB, volume_is_new=False)
        self.addCleanup(target.close)
        target.write(0, memoryview(b'held'))
        driver.let_go()
        self.assertRaises(
            errors.DriverLost, target.write, 0, memoryview(b'lost')
        )
        target.close()
        self.assertRaises(
            errors.DriverLost, storage.open_source, attachment, MIB
        )
        buffer = bytearray(4)
        with open(path, 'rb') as file:
            file.readinto(buffer)
        self.assertEqual(b'held', buffer)

    def test_from_conf(self):
        conf = cfg.ConfigOpts()
        conf.register_opts(
            [cfg.ListOpt('attached_roots'), cfg.HostAddressOpt('host')],
            group='proxy',
        )
        conf([])
        conf.set_override('attached_roots', [self.root], group='proxy')
        conf.set_override('host', 'here', group='proxy')
        storage = attached.AttachedStorage.from_conf(conf)
        storage.open_source(self.attachment(), MIB).close()
