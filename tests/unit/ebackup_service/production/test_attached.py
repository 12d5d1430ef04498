# SPDX-License-Identifier: Apache-2.0
import os
import threading
from unittest import mock

import fixtures
from oslo_config import cfg

from ebackup_service.production import attached
from ebackup_service.production import base as production
from ebackup_service.production import errors
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import faulty
from tests.unit.ebackup_service.production import holder
from tests.unit.ebackup_service.production import loops

MIB = 1 << 20


class AttachedTests(
    conformance.AttachmentTests,
    conformance.DifferenceTests,
    conformance.HoldTests,
    conformance.ConformanceTests,
):
    """Of the volume at self.path."""

    def attachment(self):
        return {'kind': 'attached', 'host': 'here', 'path': self.path}

    def places(self):
        return [self.path]

    def missing(self):
        return self.attached(
            {**self.attachment(), 'path': f'{self.path}-other'}
        )

    def content(self):
        with open(self.path, 'rb') as file:
            return file.read()

    def hold(self):
        driver = self.useFixture(holder.Holder(self.path))
        reference = self.attached({**self.attachment(), 'lock': driver.lock})
        return reference, driver.let_go


class FileConformanceTest(AttachedTests, base.BaseTestCase):
    def make_volume(self):
        root = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(root, 'volume')
        self.fill(bytes(self.SIZE))
        return attached.AttachedStorage([root], 'here')

    def fill(self, content):
        with open(self.path, 'wb') as file:
            file.truncate(len(content))
            for start in range(0, len(content), conformance.PAGE):
                piece = content[start : start + conformance.PAGE]
                if any(piece):
                    file.seek(start)
                    file.write(piece)


class FaultyConformanceTest(FileConformanceTest):
    """What wraps a storage for tests is one itself, and fails when told."""

    def make_volume(self):
        return faulty.Storage(super().make_volume())

    def test_fails_at_the_call_that_was_named(self):
        source = self.source()
        self.storage.faults.at('read', 2, faulty.fail(OSError))
        self.read(source, 0, 1)
        self.assertRaises(OSError, self.read, source, 0, 1)
        self.read(source, 0, 1)

    def test_does_what_it_lost_the_answer_of(self):
        target = self.target()
        self.storage.faults.always('write', faulty.lose(OSError))
        self.assertRaises(OSError, target.write, 0, memoryview(b'new'))
        target.close()
        self.assertEqual(b'new', self.content()[:3])

    def test_hangs_until_told(self):
        source = self.source()
        go_on = threading.Event()
        self.storage.faults.at('read', 1, faulty.hang(go_on))
        thread = threading.Thread(target=self.read, args=(source, 0, 1))
        thread.start()
        while 'read' not in self.storage.faults.calls:
            thread.join(0.01)
        self.assertTrue(thread.is_alive())
        go_on.set()
        thread.join()

    def test_lies(self):
        self.fill(b'x' * self.SIZE)
        source = self.source()
        extent = production.Extent(5, 2, production.ExtentKind.HOLE)
        self.storage.faults.at('extent', 1, faulty.answer(extent))
        self.assertEqual(extent, next(source.extents()))


class DeviceConformanceTest(
    conformance.ExclusiveTests, AttachedTests, base.BaseTestCase
):
    def make_volume(self):
        self.path = self.useFixture(loops.LoopDevice(self.SIZE)).path
        return attached.AttachedStorage(['/dev'], 'here')

    def fill(self, content):
        with open(self.path, 'r+b') as file:
            file.write(content)


class Stopped(Exception):
    """The job was told to stop."""


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

    def find(self, attachment):
        return self.storage.find(
            production.Reference(conformance.VOLUME_ID, attachment)
        )

    def open_source(self, size=MIB, **changes):
        source = self.find(self.attachment(**changes)).open_source(size)
        self.addCleanup(source.close)
        return source

    def open_target(self, size=MIB, **changes):
        target = self.find(self.attachment(**changes)).open_target(
            size, volume_is_new=False
        )
        self.addCleanup(target.close)
        return target

    def test_other_host(self):
        for opener in (self.open_source, self.open_target):
            error = self.assertRaises(errors.WrongHost, opener, host='there')
            self.assertIn('there', str(error))

    def test_not_an_attachment(self):
        for attachment in (
            self.attachment(path=None),
            self.attachment(more='fields'),
            self.attachment(lock='somewhere'),
        ):
            self.assertRaises(errors.AttachmentInvalid, self.find, attachment)

    def test_outside_the_roots(self):
        for opener in (self.open_source, self.open_target):
            self.assertRaises(errors.PathForbidden, opener, path='/etc/passwd')

    def test_a_job_that_has_to_stop_touches_nothing_more(self):
        stopped = threading.Event()

        def check():
            if stopped.is_set():
                raise Stopped

        self.storage = attached.AttachedStorage([self.root], 'here', check)
        source, target = self.open_source(), self.open_target()
        stopped.set()
        buffer = memoryview(bytearray(b'new'))
        self.assertRaises(Stopped, source.read, 0, buffer)
        self.assertRaises(Stopped, target.write, 0, buffer)
        self.assertRaises(Stopped, target.zero, 0, MIB)
        self.assertRaises(Stopped, self.open_target)
        with open(self.path, 'rb') as file:
            self.assertEqual(b'x' * MIB, file.read())

    def test_failure_to_open(self):
        error = OSError(5, 'Input/output error')
        with mock.patch.object(os, 'open', side_effect=error):
            raised = self.assertRaises(
                errors.SourceUnavailable, self.open_source
            )
            self.assertTrue(raised.retryable)
            self.assertRaises(errors.TargetUnavailable, self.open_target)

    def test_file_that_was_let_go_stays_empty(self):
        driver = self.useFixture(holder.Holder(self.path))
        driver.let_go()
        open(self.path, 'wb').close()  # as Cinder leaves a file to restore to
        error = self.assertRaises(
            errors.DriverLost, self.open_target, lock=driver.lock
        )
        self.assertIn(self.path, str(error))
        self.assertEqual(0, os.path.getsize(self.path))

    def test_long_path_leaves_room_for_the_cause(self):
        top = os.path.join(self.root, *['directory' * 20] * 2)
        os.makedirs(top)
        path = os.path.join(top, 'volume')
        with open(path, 'wb') as file:
            file.write(b'x' * MIB)
        for opener in (self.open_source, self.open_target):
            for cause, values in (
                ('is outside', {'path': '/etc' + path}),
                ('does not exist', {'path': f'{path}-2'}),
                ('is a directory', {'path': top}),
                ('not an absolute path', {'path': path[1:]}),
                (f'has {MIB} bytes', {'path': path, 'size': 4096}),
                ('no longer holds', {'path': path, 'lock': 1}),
            ):
                error = self.assertRaises(
                    errors.ProductionError, opener, **values
                )
                self.assertIn(cause, str(error))
                self.assertLess(len(str(error)), 255)

    def test_driver_may_know_what_changed(self):
        changes = {'since': 'one', 'extents': [[4096, 5]]}
        lun = self.find(self.attachment(changes=changes))
        one = production.Snapshot('one', 'one')
        source = lun.open_source(MIB, None, one)
        self.addCleanup(source.close)
        extent = production.Extent(4096, 5, production.ExtentKind.DATA)
        self.assertEqual([extent], list(source.extents()))
        self.assertEqual(production.ExtentKind.UNCHANGED, source.gaps)
        # Of what is not asked for it is not told.
        whole = lun.open_source(MIB)
        self.addCleanup(whole.close)
        self.assertEqual(production.ExtentKind.HOLE, whole.gaps)
        for unsure in (lun, self.find(self.attachment())):
            self.assertRaises(
                errors.DifferenceUnavailable,
                *(unsure.open_source, MIB, None),
                production.Snapshot('two', 'two'),
            )

    def test_from_conf(self):
        conf = cfg.ConfigOpts()
        conf.register_opts(
            [cfg.ListOpt('attached_roots'), cfg.HostAddressOpt('host')],
            group='proxy',
        )
        conf([])
        conf.set_override('attached_roots', [self.root], group='proxy')
        conf.set_override('host', 'here', group='proxy')
        storage = attached.AttachedStorage.from_conf(conf, {}, {})
        reference = production.Reference(
            conformance.VOLUME_ID, self.attachment()
        )
        storage.find(reference).open_source(MIB).close()
