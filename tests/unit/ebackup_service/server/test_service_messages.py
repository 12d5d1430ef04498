# SPDX-License-Identifier: Apache-2.0
"""Messages that are lost, doubled or late change nothing but the time."""

import os
import random

from testtools import content

from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import messages_fixture
from tests.unit.ebackup_service import service_fixture

CHUNK = service_fixture.CHUNK


class TestMessages(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            service_fixture.Service({'server': {'lease': 2.0}})
        )
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()

    def restored(self, image):
        path = self.fixture.write_volume(b'')
        self.fixture.restore_to(image, path)
        with open(path, 'rb') as file:
            return file.read()

    def meddle(self, share):
        seed = int(os.environ.get('EBACKUP_SEED') or random.randrange(2**32))
        self.addDetail('seed', content.text_content(f'EBACKUP_SEED={seed}'))
        self.useFixture(messages_fixture.Mischief(seed, share))

    def test_all_jobs_end_well(self):
        self.meddle(0.3)
        held = bytearray(os.urandom(9 * CHUNK + 17))
        path = self.fixture.write_volume(held)
        volume_id = service_fixture.new_id()
        first = self.fixture.backup(path, volume_id)
        held[5 * CHUNK] ^= 1
        self.fixture.write_volume(held, os.path.basename(path))
        second = self.fixture.backup(path, volume_id)
        self.assertEqual((1, 2), (first.generation, second.generation))
        job = images.delete(self.catalog, first.id)
        self.fixture.wait_for_job(job.id, 'succeeded', beat=False)
        job = repositories.collect(self.catalog, 'default')
        self.fixture.wait_for_job(job.id, 'succeeded', beat=False)
        self.assertEqual(held, self.restored(second))
        job = repositories.check(self.catalog, 'default', fraction=1.0)
        found = self.fixture.wait_for_job(job.id, 'succeeded', beat=False)
        self.assertEqual(0, found.result['damaged'])

    def test_old_messages_wake_no_job(self):
        heard = []
        send = self.fixture.server._proxies.run_job

        def keep(host, spec):
            heard.append((host, spec))
            send(host, spec)

        self.fixture.server._proxies.run_job = keep
        path = self.fixture.write_volume(os.urandom(CHUNK))
        image = self.fixture.backup(path)
        [(host, spec)] = heard
        before = self.fixture.job(spec.id)
        for _ in range(2):
            send(host, spec)
        # It is heard in the order in which it was sent: what comes now proves
        # that it has been.
        self.fixture.server._proxies.cancel_job(host, spec.id, spec.token, '-')
        self.fixture.backup(self.fixture.write_volume(b'x'))
        self.assertEqual(before, jobs.show(self.catalog, spec.id))
        self.assertEqual('available', self.fixture.image(image.id).state)
