# SPDX-License-Identifier: Apache-2.0
"""The server refuses a snapshot that was just taken."""

import fixtures

from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.server.catalog import snapshot as snapshot_rows
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.proxy import volumes_case


class TestRefused(volumes_case.VolumesTestCase):
    def setUp(self):
        super().setUp()
        self.logged = self.useFixture(fixtures.FakeLogger())
        self.tell = self.fixture.server.snapshot_taken

    def refuse(self, task, tell):
        """:param tell: what the server is told by, in its place"""
        self.patch(self.fixture.server, 'snapshot_taken', tell)
        self.assertRaises(errors.Fenced, backup.run, task)

    def forget(self, task):
        """All that happens to a job whose proxy pauses for an hour."""
        self.fixture.finish(task.spec, 'returned')
        with self.catalog.writer() as session:
            snapshot_rows.condemn(session, snapshot_rows.STATES, 0)
            rows = snapshot_rows.find(session)
            snapshot_rows.remove(session, [row.id for row in rows])

    def test_nothing_is_left_that_nobody_knows(self):
        task = self.task()

        def tell(*args):
            self.forget(task)
            self.assertEqual(1, len(self.on_storage()))
            self.lun().take_snapshot('another')
            return self.tell(*args)

        self.refuse(task, tell)
        self.assertEqual([], self.known())
        self.assertEqual(['another'], self.on_storage())

    def test_job_that_has_to_stop_drops_it_all_the_same(self):
        task = self.task()

        def from_conf(cls, conf, settings, credentials, check):
            check()
            return cls(settings['directory'])

        def tell(*args):
            self.forget(task)
            task.control.cancel('the lease is lost')
            return self.tell(*args)

        self.patch(folder.FolderStorage, 'from_conf', classmethod(from_conf))
        self.refuse(task, tell)
        self.assertEqual([], self.on_storage())

    def test_storage_fails(self):
        task = self.task()

        def tell(*args):
            self.fixture.finish(task.spec, 'failed')
            return self.tell(*args)

        def drop(*args):
            raise production_errors.SourceUnavailable('no answer')

        with fixtures.MonkeyPatch(
            f'{folder.__name__}.FolderLun.drop_snapshot', drop
        ):
            self.refuse(task, tell)
        [name] = self.on_storage()
        self.assertIn(
            f'{name} of volume {self.volume_id} was refused, and stays: no '
            'answer',
            self.logged.output,
        )
        self.release()
        self.assertEqual([], self.on_storage())

    def test_another_run_has_it_since_an_answer_was_lost(self):
        task = self.task()
        again = []

        def tell(*args):
            decision = self.tell(*args)
            if not again and decision.accepted:
                self.fixture.finish(task.spec, 'returned')
                again.append(self.again(task.spec.id))
                raise rpc_errors.PeerUnreachable('no answer')
            return decision

        self.refuse(task, tell)
        [task] = again
        self.assertEqual([task.spec.snapshot.name], self.on_storage())
        self.fixture.finish(task.spec, result=backup.run(task))
        self.tidy()
