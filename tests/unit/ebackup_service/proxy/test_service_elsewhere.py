# SPDX-License-Identifier: Apache-2.0
"""A job whose proxy is cut off goes on at another one."""

import os
import time

import fixtures
import oslo_messaging

from ebackup_service.rpc import clients
from ebackup_service.rpc import local
from ebackup_service.rpc import messages
from ebackup_service.server import jobs
from ebackup_service.server import proxies
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service import service_fixture

MIB = 2**20
# What comes between two checkpoints, here.
STAGE = 256 * catalog_fixture.CHUNK
LEASE = 1.0


class CutOff(fixtures.Fixture):
    """Nothing gets from or to proxy ``here`` any more; the other one is fine.

    :param token: of the run that it has
    """

    def __init__(self, job_id, token):
        super().__init__()
        self._run = job_id, token
        self.over = False

    def _setUp(self):
        deliver = local.LocalDriver.send

        def send(driver, target, context, message, **kw):
            arguments = message['args']
            run = arguments.get('job_id'), arguments.get('token')
            names = arguments.get('host'), target.server
            if not self.over and (run == self._run or 'here' in names):
                raise oslo_messaging.MessageDeliveryFailure('cut off')
            return deliver(driver, target, context, message, **kw)

        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.rpc.local.LocalDriver.send', send
            )
        )


class TestElsewhere(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(folder.FolderKind())
        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.production.registry.usable',
                lambda: ['attached', folder.KIND],
            )
        )
        self.fixture = self.useFixture(
            service_fixture.Service({'server': {'lease': LEASE}}, proxy=False)
        )
        self.catalog = self.fixture.catalog
        directory = self.useFixture(fixtures.TempDir()).path
        self.storage = folder.FolderStorage(directory)
        storages.create(
            self.catalog,
            self.fixture.conf,
            'one',
            folder.KIND,
            backends=[folder.BACKEND],
            settings={'directory': directory},
        )
        self.start('here')
        self.fixture.create_repository()
        self.content = os.urandom(3 * STAGE)
        self.path = self.storage.make('volume', len(self.content))
        with open(self.path, 'r+b') as file:
            file.write(self.content)

    def slow_down(self):
        """Jobs take eight seconds from now on, but not elsewhere."""
        self.fixture.proxy.stop()
        self.start('here', max_bytes_per_second=6 * MIB)

    def start(self, host, **options):
        self.fixture.start_proxy(
            {
                'proxy': {
                    'host': host,
                    'workers': 1,
                    'checkpoint_size': STAGE,
                    'shutdown_timeout': 0.2,
                    **options,
                }
            }
        )

        def there():
            listed = proxies.list(self.catalog, self.fixture.conf)
            return host in [status.proxy.host for status in listed]

        service_fixture.wait_for(there, f'proxy {host}')

    def lose(self, job_id):
        """Let another proxy come, and cut the one off that has the job."""
        job = self.fixture.job(job_id)
        self.assertEqual('here', job.proxy)
        self.start('there')
        self.cut = self.useFixture(CutOff(job_id, job.token))
        return job

    def read(self, path):
        with open(path, 'rb') as file:
            return file.read()

    def watch_reads(self):
        """The offsets that are read from now on."""
        read = folder.FolderSource.read
        offsets = []

        def noted(source, offset, buffer):
            offsets.append(offset)
            return read(source, offset, buffer)

        self.useFixture(
            fixtures.MonkeyPatch(
                'tests.unit.ebackup_service.production.folder'
                '.FolderSource.read',
                noted,
            )
        )
        return offsets

    def begin_backup(self):
        return self.fixture.reserve(
            size=len(self.content), volume=folder.volume('volume')
        )

    def wait_until(self, begun, job_id):
        """It has not ended before."""

        def look():
            found = jobs.beat(self.catalog, job_id)
            self.assertFalse(found.finished, found.error)
            return begun(found)

        service_fixture.wait_for(look, 'begin')

    def test_backup(self):
        self.slow_down()
        image, job = self.begin_backup()
        self.wait_until(lambda found: found.checkpoint is not None, job.id)
        reads = self.watch_reads()
        lost = self.lose(job.id)
        found = self.fixture.wait_for_job(job.id, 'succeeded')
        self.assertEqual(('there', 2), (found.proxy, found.runs))
        self.assertGreater(found.token, lost.token)
        # It went on from the checkpoint.
        self.assertLessEqual(STAGE, min(reads))
        self.assertLessEqual(found.result['bytes_reread'], STAGE)
        self.cut.over = True
        server = clients.ServerClient(self.fixture.transport)
        commit = messages.Commit(
            None, len(self.content), catalog_fixture.CHUNK, {}
        )
        failed = messages.Outcome('failed', error=None)
        for late in (
            server.commit_image(job.id, lost.token, commit),
            server.finish(job.id, lost.token, failed),
        ):
            self.assertFalse(late.accepted)
        target = self.storage.make('target', len(self.content))
        restore = self.fixture.restore(
            self.fixture.image(image.id), volume=folder.volume('target')
        )
        self.fixture.wait_for_job(restore.id, 'succeeded')
        self.assertEqual(self.content, self.read(target))

    def test_restore(self):
        image, job = self.begin_backup()
        self.fixture.wait_for_job(job.id, 'succeeded')
        self.slow_down()
        target = self.storage.make('target', len(self.content))
        restore = self.fixture.restore(
            self.fixture.image(image.id), volume=folder.volume('target')
        )

        self.wait_until(lambda found: any(self.read(target)), restore.id)
        self.lose(restore.id)
        found = self.fixture.wait_for_job(restore.id, 'succeeded')
        self.assertEqual(('there', 2), (found.proxy, found.runs))
        self.assertEqual(self.content, self.read(target))
        # The tenant has it now: whoever was cut off writes no more.
        with open(target, 'r+b') as file:
            file.write(bytes(len(self.content)))
        time.sleep(2 * LEASE)
        self.assertFalse(any(self.read(target)))
