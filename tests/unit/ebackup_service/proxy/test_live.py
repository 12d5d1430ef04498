# SPDX-License-Identifier: Apache-2.0

import os

from ebackup_service.proxy import errors
from ebackup_service.proxy import live
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture


class TestAsk(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog = self.fixture.catalog
        self.fixture.create_repository()
        path = self.fixture.write_volume(os.urandom(catalog_fixture.CHUNK))
        self.image = self.fixture.backup(path)

    def task(self, job):
        return self.fixture.task(self.fixture.spec(job.id))

    def test_collection_and_check_get_the_same_answer(self):
        answers = []
        for job in (
            lambda: repositories.collect(self.catalog, 'default'),
            lambda: repositories.check(self.catalog, 'default', 0.0),
        ):
            task = self.task(job())
            answers.append(
                (live.ask(task, []), live.ask(task, [self.image.id]))
            )
            self.fixture.finish(task.spec, result={})

        self.assertEqual(answers[0], answers[1])
        missed, found = answers[0]
        [(tree, size, chunk_size)] = missed.pins
        root = self.fixture.open_repository().root(self.image.id)
        self.assertEqual(
            (root.tree, root.size, root.chunk_size), (tree, size, chunk_size)
        )
        self.assertEqual({self.image.id}, missed.missed)
        self.assertEqual([], found.pins)

    def test_job_that_was_given_up(self):
        task = self.task(repositories.check(self.catalog, 'default', 0.0))
        self.fixture.finish(task.spec, result={})

        error = self.assertRaises(errors.Fenced, live.ask, task, [])

        self.assertIn(f'check {task.spec.id}', str(error))
