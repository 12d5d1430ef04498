# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service.engine import control
from ebackup_service.engine import progress
from ebackup_service.engine import throttle
from ebackup_service.engine import verify
from ebackup_service.repository import layout
from ebackup_service.repository import sample
from tests.unit.ebackup_service.repository import base


class VerifyTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.backup(os.urandom(2 * 1024 * 1024))
        self.control = control.Control()
        self.packs = [
            *sample.Sample().packs(self.storage, base.nothing_to_check)
        ]
        self.progress = progress.Progress(sum(size for _, size in self.packs))

    def verify(self):
        return verify.run_verify(
            self.repo, self.packs, 3, self.control, self.progress
        )

    def test_everything_is_read_once(self):
        self.assertEqual(0, len(self.verify()))

        self.assertEqual(100, self.progress.snapshot()['percent'])
        stored = self.image.session.counters.stored_bytes
        self.assertEqual(stored, self.progress.total()['bytes_read'])

    def test_damage_in_several_packs(self):
        leaf = self.repo.tree(self.image.root).leaf(1)
        for slot in (0, 100, 255):
            where = leaf.locator(slot)
            self.flip(layout.pack_key(where.pack), where.offset + 80)

        found = self.verify()

        self.assertEqual(3, len(found))
        self.assertEqual([0, 100, 255], found.of(leaf).nonzero()[0].tolist())

    def test_stops_when_told_to(self):
        self.control.cancel('enough')

        self.assertRaises(control.JobStopped, self.verify)

    def test_keeps_to_the_rate(self):
        limiter = throttle.Limiter(1)
        limiter.reserve(1000)
        self.control = control.Control(limiter=limiter)
        throttled = self.control.throttle

        def throttle_once(*args):
            self.control.cancel('it waits')
            throttled(*args)

        self.control.throttle = throttle_once

        self.assertRaises(control.JobStopped, self.verify)
        self.assertEqual(0, self.progress.total()['bytes_read'])
