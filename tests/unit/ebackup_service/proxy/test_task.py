# SPDX-License-Identifier: Apache-2.0

import contextlib
import dataclasses
import os

from ebackup_service.engine import control
from ebackup_service.engine import places
from ebackup_service.engine import progress
from ebackup_service.engine import throttle
from ebackup_service.production import attached
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.proxy import restore
from ebackup_service.proxy import task as proxy_task
from ebackup_service.rpc import messages
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import connector_fixture
from tests.unit.ebackup_service.production import brick_fixture
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

    def test_what_is_attached_is_left_alone_once_the_job_has_to_stop(self):
        with self.task.lun() as (_, lun):
            with contextlib.closing(lun.open_source(1)) as source:
                buffer = memoryview(bytearray(1))
                source.read(0, buffer)
                self.task.control.extend(0.0)
                self.assertRaises(control.LeaseLost, source.read, 0, buffer)

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


class TestConnection(base.BaseTestCase):
    """A volume that Cinder exports, by os-brick's connector ``local``."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(
            proxy_fixture.Proxy({'proxy': {'privsep_helper': 'none'}})
        )
        self.fixture.create_repository()
        self.useFixture(brick_fixture.GlobalOptions())
        connector_fixture.register(self.fixture)
        self.content = b'x' * catalog_fixture.CHUNK
        self.path = self.fixture.write_volume(self.content)
        self.volume_id = catalog_fixture.new_id()

    def reserve(self, **values):
        _, job = self.fixture.reserve(
            size=len(self.content),
            volume_id=self.volume_id,
            volume=connector_fixture.volume(**values),
        )
        return job

    def task(self, job):
        connector_fixture.announce(self.fixture)
        spec = self.fixture.assign()[job.id]
        task = self.fixture.task(spec)
        self.addCleanup(self.assert_nothing_attached)
        return task

    def assert_nothing_attached(self):
        directory = os.path.join(self.fixture.directory, 'attached')
        self.assertEqual([], os.listdir(directory))

    def connect(self, task, path):
        task.handover.give(
            messages.Connection(
                'local',
                {
                    'device_path': path,
                    'auth_password': connector_fixture.SECRET,
                },
            )
        )
        task.handover.confirm()

    def backup(self, **values):
        task = self.task(self.reserve(**values))
        self.connect(task, self.path)
        self.fixture.finish(task.spec, result=backup.run(task))
        return self.fixture.image(task.image.id)

    def test_backup_and_restore(self):
        image = self.backup()
        self.assertEqual('available', image.state)
        job = self.fixture.restore(image, volume=connector_fixture.volume())
        task = self.task(job)
        path = self.fixture.write_volume(b'', 'target')
        self.connect(task, path)
        self.fixture.finish(task.spec, result=restore.run(task))
        with open(path, 'rb') as volume:
            self.assertEqual(self.content, volume.read())

    def test_what_is_exported_of_a_volume_in_use_is_read(self):
        self.assertEqual('available', self.backup(in_use=True).state)

    def test_snapshot_is_read_that_is_exported(self):
        snapshot = {
            'id': catalog_fixture.new_id(),
            'name': 'snapshot-1',
            'size': len(self.content),
        }
        image = self.backup(kind='snapshot', snapshot=snapshot)
        self.assertEqual('available', image.state)

    def test_in_shadow_mode(self):
        storages.update(
            self.fixture.catalog, self.fixture.conf, 'any', trust='shadow'
        )
        self.assertEqual('available', self.backup().state)

    def test_path_outside_the_roots(self):
        task = self.task(self.reserve())
        self.connect(task, '/etc/passwd')
        self.assertRaises(production_errors.PathForbidden, backup.run, task)

    def test_connection_that_does_not_come(self):
        os.mkdir(os.path.join(self.fixture.directory, 'attached'))
        self.fixture.conf.set_override('attachment_timeout', 0.1, 'server')
        task = self.task(self.reserve())
        self.assertRaises(errors.AttachmentTimeout, backup.run, task)
