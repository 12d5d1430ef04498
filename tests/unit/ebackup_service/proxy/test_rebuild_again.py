# SPDX-License-Identifier: Apache-2.0
"""Catalogs that are rebuilt more than once."""

from unittest import mock

import fixtures

from ebackup_service.engine import control
from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.proxy import rebuild
from ebackup_service.repository import layout
from ebackup_service.server import images
from ebackup_service.server import repositories
from tests.unit.ebackup_service.proxy import test_rebuild


class TestAgain(test_rebuild.RebuildTestCase):
    def setUp(self):
        super().setUp()
        self.made = [self.backup() for _ in range(5)]
        self.take_over()

    def test_second_time_changes_nothing(self):
        self.rebuild()
        before, _ = images.list(self.new.catalog)
        result = self.rebuild()
        self.assertEqual(
            (5, 0, []),
            (result['images'], result['added'], result['differences']),
        )
        self.assertEqual(before, images.list(self.new.catalog)[0])

    def interrupted(self, error, stop):
        """A run that gets no further than its second message."""
        self.useFixture(fixtures.MockPatchObject(rebuild, '_BATCH', 2))
        task = self.begin()
        take = task.server.take_findings
        sent = []

        def take_some(*args):
            sent.append(args)
            if len(sent) == 2:
                stop(task)
            return take(*args)

        with mock.patch.object(task.server, 'take_findings', take_some):
            self.assertRaises(error, rebuild.run, task)
        return task

    def test_after_an_interruption_it_is_completed(self):
        task = self.interrupted(
            control.JobStopped, lambda task: task.control.cancel('Stop.')
        )
        self.assertEqual(4, len(self.known()))
        found = repositories.show(self.new.catalog, 'default')
        self.assertEqual('recovering', found.state)
        self.new.finish(task.spec, 'failed')
        result = self.rebuild()
        self.assertEqual((5, 1), (result['images'], result['added']))
        self.assertEqual({i.id for i in self.made}, self.known())

    def test_run_that_was_given_up_is_not_heard(self):
        self.interrupted(
            errors.Fenced, lambda task: self.new.finish(task.spec, 'failed')
        )
        self.assertEqual(2, len(self.known()))

    def test_answer_that_is_lost_costs_nothing(self):
        self.new.bus.break_down_for('take_findings', 1)
        self.assertEqual(5, self.rebuild()['images'])
        self.assertEqual({i.id for i in self.made}, self.known())

    def test_server_that_never_answers_ends_the_run(self):
        self.useFixture(fixtures.MockPatchObject(patience, '_SILENCE', 0.1))
        task = self.begin()
        self.new.bus.break_down()
        self.assertRaises(errors.Fenced, rebuild.run, task)

    def test_message_has_a_bounded_size(self):
        self.useFixture(fixtures.MockPatchObject(rebuild, '_BATCH_BYTES', 1))
        task = self.begin()
        sent = []
        take = task.server.take_findings
        with mock.patch.object(
            task.server,
            'take_findings',
            lambda *args: sent.append(args[2]) or take(*args),
        ):
            rebuild.run(task)
        self.assertEqual({0, 1}, {len(message.images) for message in sent})

    def test_image_that_is_gone_from_the_repository_is_told(self):
        self.rebuild()
        gone, deleted = self.made[:2]
        self.storage.delete(layout.commit_key(gone.id))
        self.repo.delete_image(deleted.id)
        result = self.rebuild()
        self.assertEqual(2, result['differing'])
        for image in (gone, deleted):
            self.assertIn(image.id, ' '.join(result['differences']))
            found = images.show(self.new.catalog, image.id)
            self.assertEqual('available', found.state)

    def test_image_that_is_damaged_since_is_told_once(self):
        self.rebuild()
        self.patch(layout.root_key(self.made[0].id), 200, b'\xff\xff')
        result = self.rebuild()
        self.assertEqual((1, 0), (result['damaged'], result['differing']))

    def test_image_that_came_meanwhile_is_no_difference(self):
        self.rebuild()
        task = self.begin()
        known = task.server.known_images
        path = self.new.write_volume(b'x')

        def late(job_id, token, after):
            if not after and not made:
                made.append(self.new.backup(path))
            return known(job_id, token, after)

        made = []
        with mock.patch.object(task.server, 'known_images', late):
            result = rebuild.run(task)
        self.assertEqual((5, []), (result['images'], result['differences']))
