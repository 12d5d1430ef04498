# SPDX-License-Identifier: Apache-2.0
import os
import select
import socket
import threading
import time

import fixtures

from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.production import iscsi
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import iscsi_targets
from tests.unit.ebackup_service.production import nbd_servers

MIB = 1 << 20
INITIATOR = 'iqn.2026-01.example.lab:proxy'


class FoundLun:
    """As a storage that has one volume; see base.ProductionStorage."""

    MEMORY = 0
    capabilities = production.Capabilities()

    def __init__(self, find):
        self.find = find

    def close(self):
        pass


class Passage(fixtures.Fixture):
    """A way to a portal on which it is counted who takes it.

    :ivar portal: where it begins
    :ivar count: of connections
    """

    def __init__(self, portal):
        super().__init__()
        self._host, _, port = portal.rpartition(':')
        self._port = int(port)
        self.count = 0

    def _setUp(self):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.portal = f'127.0.0.1:{self._listener.getsockname()[1]}'
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        self.addCleanup(self._stop)

    def _stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.count += 1
            with (
                near,
                socket.create_connection((self._host, self._port)) as far,
            ):
                other = {near: far, far: near}
                while True:
                    ready, _, _ = select.select([near, far], [], [])
                    data = ready[0].recv(1 << 16)
                    if not data:
                        break
                    other[ready[0]].sendall(data)


class IscsiTestCase(base.BaseTestCase):
    SIZE = 4 * MIB

    def setUp(self):
        nbd_servers.need()
        super().setUp()

    def make_target(self):
        self.target_server = self.useFixture(iscsi_targets.Tgtd(self.SIZE))
        self.top = os.path.join(self.target_server.directory, 'qemu')
        # After everything has been closed.
        self.addCleanup(lambda: self.assertEqual([], self.left()))

    def open_lun(self, properties, check=lambda: None, **options):
        conf = nbd_servers.configuration(
            self.target_server.directory,
            process_directory=self.top,
            **options,
        )
        lun = iscsi.open_iscsi(conf, properties, INITIATOR, check)
        self.addCleanup(lun.close)
        return lun

    def left(self):
        """Directories of processes."""
        if not os.path.exists(self.top):
            return []
        return [name for name in os.listdir(self.top) if name != 'lock']


class ConformanceTest(conformance.ConformanceTests, IscsiTestCase):
    def make_volume(self):
        self.make_target()
        return FoundLun(self.open_lun)

    def reference(self):
        return self.target_server.properties()

    def missing(self):
        return self.target_server.properties(target_lun=5)

    def fill(self, content):
        with open(self.target_server.image, 'r+b') as file:
            file.write(content)

    def content(self):
        with open(self.target_server.image, 'rb') as file:
            return file.read()


class LoginTest(IscsiTestCase):
    def setUp(self):
        super().setUp()
        self.make_target()

    def open_source(self, **properties):
        lun = self.open_lun(self.target_server.properties(**properties))
        source = lun.open_source(self.SIZE)
        self.addCleanup(source.close)
        return source

    def test_logs_in_and_out(self):
        source = self.open_source()
        self.assertEqual(1, self.target_server.sessions())
        source.close()
        self.assertEqual(0, self.target_server.sessions())
        self.assertEqual([], self.left())

    def test_wrong_secret_is_tried_once(self):
        for wrong in (
            {'auth_password': 'wrong-secret-1'},
            {'auth_username': 'other', 'auth_password': 'wrong-secret-1'},
            {'auth_method': None, 'auth_password': 'wrong-secret-1'},
        ):
            passage = self.useFixture(Passage(self.target_server.portal))
            error = self.assertRaises(
                errors.AccessDenied,
                self.open_source,
                target_portals=[passage.portal] * 2,
                target_iqns=[iscsi_targets.TARGET] * 2,
                target_luns=[1, 1],
                **wrong,
            )
            self.assertFalse(error.retryable)
            self.assertNotIn('wrong-secret-1', told(error))
            self.assertEqual(1, passage.count)
        self.assertEqual([], self.left())

    def test_secret_is_nowhere_to_be_seen(self):
        self.open_source()
        secret = iscsi_targets.SECRET.encode()
        (name,) = self.left()
        directory = os.path.join(self.top, name)
        with open(os.path.join(directory, 'pid')) as file:
            number = file.read().strip()
        for part in ('cmdline', 'environ'):
            with open(f'/proc/{number}/{part}', 'rb') as file:
                self.assertNotIn(secret, file.read())
        for entry in os.listdir(directory):
            path = os.path.join(directory, entry)
            if os.path.isfile(path):
                with open(path, 'rb') as file:
                    self.assertNotIn(secret, file.read())

    def test_secret_that_qemu_refuses_is_not_told(self):
        error = self.assertRaises(
            errors.AccessDenied, self.open_source, auth_password='\udcff-x'
        )
        self.assertNotIn('-x', told(error))
        self.assertEqual([], self.left())

    def test_what_is_not_there(self):
        for properties, error in (
            ({'target_lun': 5}, errors.VolumeUnknown),
            (
                {'target_iqn': 'iqn.2026-01.example.lab:x'},
                errors.VolumeUnknown,
            ),
            ({'target_portal': '127.0.0.1:1'}, errors.SourceUnavailable),
        ):
            self.assertRaises(error, self.open_source, **properties)
        self.assertEqual([], self.left())

    def test_second_path_if_the_first_is_down(self):
        source = self.open_source(
            target_portals=['127.0.0.1:1', self.target_server.portal],
            target_iqns=[iscsi_targets.TARGET] * 2,
            target_luns=[1, 1],
        )
        buffer = memoryview(bytearray(512))
        source.read(0, buffer)

    def test_wrong_size_leaves_nothing(self):
        lun = self.open_lun(self.target_server.properties())
        for call in (
            lambda: lun.open_source(self.SIZE + 512),
            lambda: lun.open_target(self.SIZE + 512, False),
        ):
            self.assertRaises(errors.SizeMismatch, call)
        self.assertEqual([], self.left())

    def test_lun_that_may_only_be_read(self):
        lun = self.open_lun(self.target_server.properties(access_mode='ro'))
        lun.open_source(self.SIZE).close()
        self.assertRaises(
            errors.AccessDenied, lun.open_target, self.SIZE, False
        )

    def test_takes_no_snapshots(self):
        lun = self.open_lun(self.target_server.properties())
        for call in (
            lun.take_snapshot,
            lun.find_snapshot,
            lun.reduce_to_anchor,
            lun.drop_snapshot,
        ):
            self.assertRaises(NotImplementedError, call, None)


class OutageTest(IscsiTestCase):
    SIZE = 64 * MIB
    CONTENT = conformance.noise(64 * MIB)

    def setUp(self):
        super().setUp()
        self.make_target()
        with open(self.target_server.image, 'r+b') as file:
            file.write(self.CONTENT)

    def source(self, check=lambda: None, **options):
        lun = self.open_lun(self.target_server.properties(), check, **options)
        source = lun.open_source(self.SIZE)
        self.addCleanup(source.close)
        return source

    def read(self, source, offset, length=MIB):
        buffer = memoryview(bytearray(length))
        source.read(offset, buffer)
        return bytes(buffer)

    def test_target_that_dies_and_comes_back(self):
        source = self.source()
        self.assertEqual(self.CONTENT[:MIB], self.read(source, 0))
        self.target_server.kill()
        timer = threading.Timer(0.5, self.target_server.start)
        timer.start()
        self.addCleanup(timer.join)
        self.assertEqual(
            self.CONTENT[MIB : 3 * MIB], self.read(source, MIB, 2 * MIB)
        )

    def test_target_that_does_not_come_back(self):
        source = self.source(timeout=5, outage=1)
        self.target_server.kill()
        error = self.assertRaises(
            errors.SourceUnavailable, self.read, source, 0
        )
        self.assertTrue(error.retryable)
        self.assertIn(iscsi_targets.TARGET, str(error))
        started = time.monotonic()
        source.close()
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual([], self.left())

    def test_job_is_stopped_while_the_target_is_away(self):
        stop = threading.Event()

        class Stopped(Exception):
            pass

        def check():
            if stop.is_set():
                raise Stopped

        source = self.source(check, timeout=600, outage=600)
        self.target_server.kill()
        timer = threading.Timer(0.5, stop.set)
        timer.start()
        self.addCleanup(timer.join)
        started = time.monotonic()
        self.assertRaises(Stopped, self.read, source, 0)
        self.assertLess(time.monotonic() - started, 5)
        source.close()
        self.assertEqual([], self.left())

    def test_qemu_dies(self):
        source = self.source(outage=0.3)
        (name,) = self.left()
        with open(os.path.join(self.top, name, 'pid')) as file:
            os.kill(int(file.read()), 9)
        self.assertRaises(errors.SourceUnavailable, self.read, source, 0)
        source.close()
        self.assertEqual([], self.left())


class PropertiesTest(base.BaseTestCase):
    GOOD = {
        'target_portal': '192.0.2.1:3260',
        'target_iqn': 'iqn.2026-01.example:x',
        'target_lun': 1,
    }

    def open_lun(self, properties):
        conf = nbd_servers.configuration('/nonexistent')
        conf.set_override('process_directory', '/nonexistent', group='nbd')
        return iscsi.open_iscsi(conf, properties, INITIATOR)

    def test_good_ones(self):
        nbd_servers.need()
        chap = {
            'auth_method': 'CHAP',
            'auth_username': 'a',
            'auth_password': 'b',
        }
        for properties in (self.GOOD, self.GOOD | chap):
            self.assertEqual(
                'iqn.2026-01.example:x/1', self.open_lun(properties).key
            )

    def test_bad_ones(self):
        nbd_servers.need()
        for bad in (
            {},
            {'target_portal': '192.0.2.1:3260'},
            self.GOOD | {'target_lun': '1'},
            self.GOOD | {'target_lun': True},
            self.GOOD | {'target_portal': 5},
            self.GOOD | {'auth_method': 'CHAP'},
            self.GOOD | {'auth_method': 'CHAP', 'auth_username': 'a'},
            self.GOOD
            | {
                'auth_method': 'Kerberos',
                'auth_username': 'a',
                'auth_password': 'secret-1',
            },
            {
                'target_portals': ['a', 'b'],
                'target_iqns': ['c'],
                'target_luns': [1],
            },
        ):
            error = self.assertRaises(
                errors.AttachmentInvalid, self.open_lun, bad
            )
            self.assertNotIn('secret-1', str(error))


def told(error):
    """All that a log would show of an error and its causes."""
    texts = []
    while error is not None:
        texts.append(f'{error} {error!r}')
        error = error.__cause__ or error.__context__
    return ' '.join(texts)
