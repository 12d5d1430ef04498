# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from ebackup_service import conf as service_conf
from ebackup_service.engine import places
from ebackup_service.production import rbd
from ebackup_service.production import registry
from ebackup_service.proxy import memory
from tests import base

MIB = 2**20


class MemoryTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new()

    def configure(self, **options):
        for name, value in options.items():
            self.conf.set_override(name, value, 'proxy')


class TestPlan(MemoryTestCase):
    def plan(self, kinds=('attached',), **options):
        """Jobs, and workers that read nothing that takes more."""
        self.configure(**options)
        plan = memory.plan(self.conf, kinds)
        return plan.jobs, plan.room // memory.WORKER

    def test_default_memory_suffices_for_the_default_jobs(self):
        self.assertEqual((4, 4), self.plan())
        self.assertEqual(256 * MIB, self.conf.proxy.memory)

    def test_default_memory_suffices_for_two_jobs_where_ceph_is(self):
        """One of them, of another storage, has as many workers as before."""
        self.assertEqual((2, 4), self.plan(('attached', 'nbd', 'rbd')))

    def test_what_is_planned_fits_into_the_memory(self):
        for megabytes in range(128, 4096, 97):
            self.configure(memory=megabytes * MIB, max_jobs=7)
            jobs, room, _ = memory.plan(self.conf, ['attached'])
            self.assertGreaterEqual(room, jobs * memory.WORKER)
            self.assertGreaterEqual(jobs, 1)
            self.assertLessEqual(
                memory.PROGRAM + jobs * memory.JOB + room, megabytes * MIB
            )

    def test_each_job_has_room_for_a_worker_wherever_its_volume_is(self):
        for megabytes in range(162, 4096, 97):
            self.configure(memory=megabytes * MIB, max_jobs=7)
            jobs, room, _ = memory.plan(self.conf, ['attached', 'rbd'])
            first = memory.WORKER + rbd.RbdStorage.MEMORY
            self.assertGreaterEqual(room, jobs * first)
            self.assertGreaterEqual(jobs, 1)
            self.assertLessEqual(
                memory.PROGRAM + jobs * memory.JOB + room, megabytes * MIB
            )

    def test_storage_that_takes_most_counts(self):
        def storage_class(kind):
            return mock.Mock(MEMORY={'a': 0, 'b': 70 * MIB, 'c': 1}[kind])

        self.patch(registry, 'storage_class', storage_class)
        self.configure(memory=1000 * MIB, max_jobs=100)
        self.assertEqual(
            (928 * MIB) // (116 * MIB), memory.plan(self.conf, 'abc').jobs
        )

    def test_one_job_may_use_what_the_others_leave(self):
        self.assertEqual((1, 4), self.plan(max_jobs=1))
        self.assertEqual((1, 24), self.plan(memory=1000 * MIB))

    def test_little_memory_means_fewer_jobs(self):
        self.assertEqual((1, 1), self.plan(memory=128 * MIB))

    def test_too_little_memory_for_a_job_still_has_room_for_one(self):
        self.configure(memory=128 * MIB)
        plan = memory.plan(self.conf, ['rbd'])
        self.assertEqual(1, plan.jobs)
        self.assertEqual(memory.WORKER + rbd.RbdStorage.MEMORY, plan.room)
        self.assertEqual(162 * MIB, plan.needed)


class TestWorkers(MemoryTestCase):
    def workers(self, room, **options):
        share = places.Places(room, memory.WORKER).share()
        return memory.workers(self.conf, share, **options)

    def test_configured_or_by_cores(self):
        cores = len(os.sched_getaffinity(0))
        self.assertEqual(cores + 1, self.workers(64 << 30))
        self.assertEqual(cores, self.workers(64 << 30, waits=False))
        self.configure(workers=3)
        self.assertEqual(3, self.workers(64 << 30))

    def test_no_more_than_there_is_memory_for(self):
        self.configure(workers=100)
        self.assertEqual(4, self.workers(4 * memory.WORKER))
