# SPDX-License-Identifier: Apache-2.0

import dataclasses
import os

from ebackup_service.engine import control
from ebackup_service.engine import lost
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import errors
from ebackup_service.proxy import restore
from ebackup_service.server import errors as server_errors
from ebackup_service.server import images
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK


class TestRun(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.create_repository()
        self.content = os.urandom(2 * CHUNK) + bytes(CHUNK) + b'end'
        path = self.fixture.write_volume(self.content)
        self.image = self.fixture.backup(path)
        self.target = self.fixture.write_volume(b'', 'target')

    def task(self, **values):
        return self.fixture.restore_task(self.image, self.target, **values)

    def read(self):
        with open(self.target, 'rb') as file:
            return file.read()

    def test_volume_gets_the_image_byte_for_byte(self):
        task = self.task()
        result = restore.run(task)
        self.assertEqual(self.content, self.read())
        self.assertEqual(2 * CHUNK + 3, result['bytes_written'])
        self.assertEqual(100, task.snapshot()['percent'])

    def test_volumes_of_every_size(self):
        for size in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1):
            self.content = os.urandom(size)
            path = self.fixture.write_volume(self.content)
            self.image = self.fixture.backup(path)
            self.target = self.fixture.write_volume(b'', f'target-{size}')
            restore.run(self.task())
            self.assertEqual(self.content, self.read())

    def test_larger_volume_gets_its_full_size(self):
        restore.run(self.task(volume={'size': 9 * CHUNK}))
        padding = bytes(9 * CHUNK - len(self.content))
        self.assertEqual(self.content + padding, self.read())

    def test_image_that_was_deleted_meanwhile_is_restored_all_the_same(self):
        task = self.task()
        self.fixture.open_repository().delete_image(self.image.id)
        restore.run(task)
        self.assertEqual(self.content, self.read())

    def damage(self):
        return self.fixture.image(self.image.id).damage

    def test_damaged_image_is_not_restored_and_says_so(self):
        self.fixture.flip(1)
        task = self.task()
        error = self.assertRaises(errors.ImageDamaged, restore.run, task)
        self.assertEqual('image-damaged', error.kind)
        self.assertIn(f'{CHUNK} at {CHUNK}', str(error))
        self.assertGreater(255, len(str(error)))
        self.assertEqual([[CHUNK, CHUNK]], self.damage())
        refused = self.assertRaises(server_errors.Conflict, self.task)
        self.assertEqual('image-damaged', refused.kind)

    def test_rest_of_a_damaged_image_is_restored_if_that_is_allowed(self):
        self.fixture.flip(1)
        images.update(
            self.fixture.catalog, self.image.id, restore_damaged=True
        )
        for _ in range(2):
            self.target = self.fixture.write_volume(
                b'x' * len(self.content), 'target'
            )
            task = self.task(volume_is_new=False)
            result = restore.run(task)
            self.assertEqual(CHUNK, result['damaged_bytes'])
            self.assertEqual([[CHUNK, CHUNK]], result['damaged_extents'])
            lost = self.content[:CHUNK] + bytes(2 * CHUNK) + b'end'
            self.assertEqual(lost, self.read())
            self.fixture.finish(task.spec, result=result)
            self.assertEqual([[CHUNK, CHUNK]], self.damage())

    def test_many_places_are_counted(self):
        found = lost.Lost()
        size = 64 << 40
        for number in range(500):
            found.add(size - number * 2**30, 4 << 20, None)
        text = restore._describe(self.image.id, found)
        self.assertIn('497 more', text)
        self.assertGreater(255, len(text))

    def test_restore_that_was_given_up_tells_nothing(self):
        self.fixture.flip(1)
        task = self.task()
        self.fixture.finish(task.spec, 'failed')
        self.assertRaises(errors.Fenced, restore.run, task)
        self.assertEqual([], self.damage())

    def test_volume_that_is_not_there(self):
        os.unlink(self.target)
        self.assertRaises(
            production_errors.PathUnknown, restore.run, self.task()
        )

    def test_stopped_restore_writes_no_more(self):
        task = self.task()
        task.control.extend(0.0)
        self.assertRaises(control.LeaseLost, restore.run, task)
        self.assertNotEqual(self.content, self.read())

    def test_job_without_target(self):
        task = self.task()
        task.spec = dataclasses.replace(task.spec, target=None)
        self.assertRaises(errors.JobInvalid, restore.run, task)
