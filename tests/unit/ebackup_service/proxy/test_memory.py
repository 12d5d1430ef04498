# SPDX-License-Identifier: Apache-2.0
import os

from ebackup_service import conf as service_conf
from ebackup_service.proxy import memory
from tests import base

MIB = 2**20


class TestPlan(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.conf = service_conf.new()

    def plan(self, **options):
        for name, value in options.items():
            self.conf.set_override(name, value, 'proxy')
        return memory.plan(self.conf)

    def test_default_memory_suffices_for_the_default_jobs(self):
        self.assertEqual((4, 4), self.plan())
        self.assertEqual(256 * MIB, self.conf.proxy.memory)

    def test_what_is_planned_fits_into_the_memory(self):
        for megabytes in range(128, 4096, 97):
            jobs, places = self.plan(memory=megabytes * MIB, max_jobs=7)
            self.assertGreaterEqual(places, jobs)
            self.assertGreaterEqual(jobs, 1)
            self.assertLessEqual(
                memory.PROGRAM + jobs * memory.JOB + places * memory.WORKER,
                megabytes * MIB,
            )

    def test_one_job_may_use_what_the_others_leave(self):
        self.assertEqual((1, 4), self.plan(max_jobs=1))
        self.assertEqual((1, 24), self.plan(memory=1000 * MIB))

    def test_little_memory_means_fewer_jobs(self):
        self.assertEqual((1, 1), self.plan(memory=128 * MIB))

    def test_workers_are_configured_or_by_cores(self):
        self.plan(memory=64 << 30)
        cores = len(os.sched_getaffinity(0))
        self.assertEqual(cores + 1, memory.workers(self.conf))
        self.assertEqual(cores, memory.workers(self.conf, waits=False))
        self.plan(workers=3)
        self.assertEqual(3, memory.workers(self.conf))

    def test_a_job_has_no_more_workers_than_there_is_memory_for(self):
        self.plan(workers=100)
        self.assertEqual(4, memory.workers(self.conf))
