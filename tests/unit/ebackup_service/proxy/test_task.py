# SPDX-License-Identifier: Apache-2.0

import dataclasses

from ebackup_service.engine import control
from ebackup_service.engine import places
from ebackup_service.engine import progress
from ebackup_service.engine import throttle
from ebackup_service.production import attached
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import errors
from ebackup_service.proxy import task as proxy_task
from tests import base
from tests.unit.ebackup_service import proxy_fixture


def find(task):
    with task.lun():
        pass


class TestTask(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.make_repository()
        path = self.fixture.write_volume(b'x')
        self.task = self.fixture.backup_task(path)

    def without(self, **values):
        spec = dataclasses.replace(self.task.spec, **values)
        limiter = throttle.Limiter(0)
        return proxy_task.Task(
            self.fixture.conf,
            spec,
            self.fixture.server,
            limiter,
            places.Places(1).share(),
        )

    def test_may_not_go_on_before_its_first_renewal(self):
        self.assertRaises(control.LeaseLost, self.without().control.check)

    def test_progress_is_empty_until_it_begins(self):
        self.assertEqual({}, self.task.snapshot())
        self.task.progress = progress.Progress(10)
        self.assertEqual(10, self.task.snapshot()['bytes_total'])

    def test_workers_are_configured(self):
        self.assertEqual(1, self.task.workers)

    def test_attachment_names_its_storage(self):
        with self.task.lun() as (storage, lun):
            self.assertIsInstance(storage, attached.AttachedStorage)
            self.assertIsInstance(lun, attached.AttachedLun)

    def test_unknown_storage(self):
        task = self.without(attachment={'kind': 'tape'})
        self.assertRaises(production_errors.StorageUnknown, find, task)

    def test_what_is_missing_is_named(self):
        self.assertRaises(
            errors.JobInvalid, find, self.without(attachment=None)
        )
        self.assertRaises(
            errors.JobInvalid, getattr, self.without(image=None), 'image'
        )
