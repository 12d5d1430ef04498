# SPDX-License-Identifier: Apache-2.0
"""A volume whose storage fails in the middle of a job."""

import errno
import os
import threading

from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.proxy import jobs as proxy_jobs
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import faulty_fixture
from tests.unit.ebackup_service import proxy_fixture

MIB = 2**20


class TestFailingVolume(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.faulty = self.useFixture(faulty_fixture.FaultyDirectory())
        self.fixture = self.useFixture(
            proxy_fixture.Proxy(
                {'proxy': {'attached_roots': self.faulty.path}}
            )
        )
        self.fixture.create_repository()
        self.content = os.urandom(9 * MIB)
        self.volume_id = catalog_fixture.new_id()
        self.volume = self.file('volume', self.content)

    def file(self, name, content):
        path = os.path.join(self.faulty.path, name)
        with open(os.path.join(self.faulty.backing, name), 'wb') as file:
            file.write(content)
        return path

    def run_job(self, job, path):
        """How a job on that volume ends; (state, kind, message)."""
        self.fixture.attach(job.id, path)
        ended = threading.Event()
        proxy_jobs.RunningJob(
            self.fixture.conf,
            self.fixture.spec(job.id),
            self.fixture.server,
            throttle.Limiter(0),
            places.Places(1).share(),
            lambda job: ended.set(),
        ).start()
        self.assertTrue(ended.wait(30))
        found = self.fixture.job(job.id)
        error = found.error or {'kind': None, 'message': ''}
        return found.state, error['kind'], error['message']

    def back_up(self):
        image, job = self.fixture.reserve(
            size=len(self.content), volume_id=self.volume_id
        )
        return image, *self.run_job(job, self.volume)

    def restore(self, image, path):
        return self.run_job(self.fixture.restore(image), path)

    def assertFailed(self, kind, path, state, found, message):
        self.assertEqual(('failed', kind), (state, found))
        self.assertIn(path, message)
        self.assertIn(os.strerror(errno.EIO), message)

    def assertRight(self, image):
        path = self.file('right', bytes(len(self.content)))
        self.assertEqual('succeeded', self.restore(image, path)[0])
        with open(path, 'rb') as restored:
            self.assertEqual(self.content, restored.read())

    def test_backup_fails_and_the_next_one_is_right(self):
        for after in (0, 2):
            # The first piece of it, and one in the middle.
            self.faulty.fail('read', errno.EIO, 'volume', after=after)
            image, *found = self.back_up()
            self.assertFailed('source-unavailable', self.volume, *found)
            self.assertEqual('error', self.fixture.image(image.id).state)
            self.assertEqual(set(), self.fixture.objects())
            self.faulty.mend()
        image, state, _, _ = self.back_up()
        self.assertEqual('succeeded', state)
        self.assertRight(image)

    def test_failure_harms_no_earlier_image(self):
        first, *_ = self.back_up()
        self.faulty.fail('read', errno.EIO, 'volume', after=2)
        _, *found = self.back_up()
        self.assertFailed('source-unavailable', self.volume, *found)
        self.faulty.mend()
        self.assertRight(first)

    def test_restore_fails_wherever_the_target_does(self):
        image, *_ = self.back_up()
        for call in 'write', 'fsync':
            with self.subTest(call):
                target = self.file(f'target-{call}', bytes(9 * MIB))
                self.faulty.fail(call, errno.EIO, f'target-{call}')
                found = self.restore(image, target)
                self.faulty.mend()
                self.assertFailed('target-unavailable', target, *found)
        self.assertRight(image)
