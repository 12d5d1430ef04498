# SPDX-License-Identifier: Apache-2.0
import os
import time

from ebackup_service.production import errors
from ebackup_service.production import qemu
from ebackup_service.production import qmp
from tests import base
from tests.unit.ebackup_service.production import nbd_servers

MIB = 1 << 20


class QemuTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        nbd_servers.need_programs()
        self.server = self.useFixture(nbd_servers.StorageDaemon(MIB))

    def process(self, timeout=10):
        monitor = qmp.Monitor(self.server.monitor, timeout, lambda: None)
        process = qemu.Qemu(monitor, timeout)
        self.addCleanup(monitor.close)
        return process

    def path(self, name):
        return os.path.join(self.server.directory, name)

    def test_image(self):
        with self.process() as process:
            node = process.image(self.server.image, 'ebackup-')
            self.assertEqual('volume', node['node-name'])
            self.assertEqual([], node['dirty-bitmaps'])
            self.assertRaises(
                errors.VolumeUnknown, process.image, '/other', 'ebackup-'
            )

    def test_create_file(self):
        with self.process() as process:
            process.create_file('job', self.path('a'), MIB)
            self.assertEqual(MIB, os.stat(self.path('a')).st_size)
            error = self.assertRaises(
                qmp.Refused, process.create_file, 'job', self.path('b/c'), MIB
            )
            self.assertIn('b/c', str(error))
            self.assertEqual([], process.execute('query-jobs'))

    def test_end_job(self):
        with self.process() as process:
            process.create_file('job', self.path('a'), MIB)
            process.execute(
                'blockdev-add',
                driver='file',
                node_name='target',
                filename=self.path('a'),
            )
            for dismissed in (True, False):
                process.execute(
                    'blockdev-backup',
                    job_id='job',
                    device='volume',
                    target='target',
                    sync='none',
                    auto_dismiss=dismissed,
                )
                (job,) = process.execute('query-jobs')
                process.end_job(job)
                self.assertEqual([], process.execute('query-jobs'))

    def test_end_job_that_has_ended(self):
        with self.process() as process:
            process.execute(
                'blockdev-create',
                job_id='job',
                options={
                    'driver': 'file',
                    'filename': self.path('a'),
                    'size': 5,
                },
            )
            end = time.monotonic() + 10
            while True:
                (job,) = process.execute('query-jobs')
                if job['status'] == 'concluded':
                    break
                self.assertLess(time.monotonic(), end)
            # When it was looked at, it was running.
            process.end_job(job | {'status': 'running'})
            self.assertEqual([], process.execute('query-jobs'))

    def test_remove_export(self):
        with self.process() as process:
            process.execute(
                'block-export-add',
                type='nbd',
                id='other',
                node_name='volume',
                name='other',
                writable=False,
            )
            process.remove_export('other')
            exports = process.execute('query-block-exports')
            self.assertEqual(['guest'], [one['id'] for one in exports])
            self.assertRaises(
                errors.SnapshotBusy, process.remove_export, 'other'
            )

    def test_what_never_ends(self):
        process = self.process(0.1)
        error = self.assertRaises(
            errors.SourceUnavailable, process._until, lambda: None, 'job x'
        )
        self.assertIn('job x', str(error))
