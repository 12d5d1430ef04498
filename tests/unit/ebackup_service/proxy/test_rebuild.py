# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import sqlite3
from unittest import mock

from ebackup_service.proxy import backup
from ebackup_service.proxy import maintenance
from ebackup_service.proxy import rebuild
from ebackup_service.proxy import restore
from ebackup_service.proxy import takeover
from ebackup_service.repository import document
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import layout
from ebackup_service.rpc import messages
from ebackup_service.server import collection
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from ebackup_service.server import takeover as server_takeover
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture

PROJECT = catalog_fixture.PROJECT
CHUNK = catalog_fixture.CHUNK
new_id = catalog_fixture.new_id
# What only the catalog that made an image knows.
LOST = ('chain_id', 'job_id', 'created_at', 'updated_at', 'volume')


class RebuildTestCase(base.BaseTestCase):
    """``old`` is the service that lost its catalog, ``new`` the next one."""

    def setUp(self):
        super().setUp()
        self.old = self.useFixture(proxy_fixture.Proxy())
        self.old.create_repository()
        self.new = self.useFixture(proxy_fixture.Proxy())
        self.repo = self.old.open_repository()
        self.storage = self.repo.storage
        self.volume_id = new_id()
        self.path = self.old.write_volume(os.urandom(3 * CHUNK))

    def backup(self, **values):
        return self.old.backup(
            self.path,
            **{
                'volume_id': self.volume_id,
                'record': {'display_name': 'nightly', 'size': 1},
                'volume_metadata': '{"v": 1}',
                'name': 'nightly',
                **values,
            },
        )

    def delete(self, image):
        task = self.old.task(
            self.old.spec(images.delete(self.old.catalog, image.id).id)
        )
        self.old.finish(task.spec, result=maintenance.delete(task))

    def task(self, job):
        return self.new.task(self.new.spec(job.id))

    def take_over(self):
        _, job = server_takeover.begin(
            self.new.catalog, 'default', self.old.url, self.repo.id
        )
        task = self.task(job)
        self.new.finish(task.spec, result=takeover.run(task))

    def begin(self):
        return self.task(repositories.rebuild(self.new.catalog, 'default'))

    def rebuild(self):
        task = self.begin()
        result = rebuild.run(task)
        self.new.finish(task.spec, result=result)
        return result

    def recover(self):
        self.take_over()
        return self.rebuild()

    def known(self):
        found, _ = images.list(self.new.catalog)
        return {image.id for image in found}

    def patch(self, key, offset, value):
        path = f'{self.old.directory}/repository/{key}'
        os.chmod(path, 0o600)
        with open(path, 'r+b') as file:
            file.seek(offset)
            file.write(value)

    def make_newer(self, kind, key):
        with mock.patch.object(document, 'VERSION', document.VERSION + 1):
            newer = document.seal(kind, {'looks': 'otherwise'})
        self.patch(key, 0, newer)

    def restored(self, image_id):
        image = images.show(self.new.catalog, image_id)
        target = self.new.write_volume(b'', 'target')
        restore.run(self.new.restore_task(image, target))
        with open(target, 'rb') as file:
            return file.read()


class TestLostCatalog(RebuildTestCase):
    def test_it_is_what_it_was(self):
        made = [self.backup() for _ in range(3)]
        made.append(self.backup(project_id='b' * 32))
        result = self.recover()
        self.assertEqual((4, 4), (result['images'], result['added']))
        self.assertEqual(([], []), (result['problems'], result['differences']))
        for image in made:
            found = vars(images.show(self.new.catalog, image.id))
            expected = {k: v for k, v in vars(image).items() if k not in LOST}
            self.assertEqual(expected, {k: found[k] for k in expected})
            self.assertLess(
                abs((found['created_at'] - image.created_at).total_seconds()),
                30,
            )

    def test_images_restore(self):
        image = self.backup()
        self.recover()
        with open(self.path, 'rb') as file:
            self.assertEqual(file.read(), self.restored(image.id))

    def test_next_backup_goes_on_with_the_chain(self):
        self.backup()
        image = self.backup()
        self.recover()
        path = self.new.write_volume(b'')
        with open(self.path, 'rb') as old, open(path, 'wb') as new:
            new.write(old.read())
        again = self.new.backup(path, volume_id=self.volume_id)
        self.assertEqual('incremental', again.kind)
        self.assertEqual(0, again.bytes_stored)
        self.assertEqual(image.generation + 1, again.generation)

    def test_collection_afterwards_removes_only_what_nobody_needs(self):
        kept = self.backup()
        self.delete(self.backup(volume_id=new_id()))
        self.recover()
        task = self.task(repositories.collect(self.new.catalog, 'default'))
        maintenance.collect(task)
        with open(self.path, 'rb') as file:
            self.assertEqual(file.read(), self.restored(kept.id))

    def test_deleted_stays_deleted(self):
        first, second = self.backup(), self.backup()
        self.delete(second)
        result = self.recover()
        self.assertEqual(1, result['tombstones'])
        self.assertEqual({first.id}, self.known())
        found, _ = images.list(self.new.catalog, state='deleted')
        self.assertEqual([second.id], [image.id for image in found])

    def test_generation_of_the_deleted_is_not_used_again(self):
        self.backup()
        self.delete(self.backup())
        self.recover()
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(3, reserved.generation)

    def test_what_was_not_committed_does_not_count(self):
        self.backup()
        image = self.backup()
        self.storage.delete(layout.commit_key(image.id))
        result = self.recover()
        self.assertEqual((1, 0), (result['images'], result['damaged']))
        self.assertNotIn(image.id, self.known())
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(3, reserved.generation)

    def test_empty_repository(self):
        self.assertEqual(0, self.recover()['images'])

    def test_foreign_files_are_left_alone(self):
        self.backup()
        for key in (
            'readme',
            'images/readme',
            f'images/{new_id()}/readme',
            f'images/{new_id().upper().lower()[:-1]}/root',
            'tombstones/readme',
        ):
            self.storage.create(key, [b'foreign'])
        before = {i.key for i in self.storage.list('')}
        result = self.recover()
        self.assertEqual((1, 0), (result['images'], result['damaged']))
        self.assertEqual(before, {i.key for i in self.storage.list('')})

    def test_progress(self):
        self.backup()
        self.take_over()
        task = self.begin()
        rebuild.run(task)
        self.assertEqual({'percent': 100, 'remaining': 0}, task.snapshot())

    def test_remaining_time_is_estimated_from_images(self):
        now = [100.0]
        share = rebuild._Share(10, lambda: now[0])
        self.assertEqual({'percent': 0, 'remaining': None}, share.snapshot())
        now[0] += 6
        share.done = 4
        self.assertEqual({'percent': 40, 'remaining': 9}, share.snapshot())


class TestOldCopy(RebuildTestCase):
    """The catalog is a copy, made while a backup was running."""

    def setUp(self):
        super().setUp()
        self.first = self.backup()
        running = self.old.backup_task(self.path, volume_id=self.volume_id)
        copy = f'{self.new.directory}/copy.sqlite'
        with (
            contextlib.closing(sqlite3.connect(self.database())) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        # It was acknowledged, and another one after it.
        self.old.finish(running.spec, result=backup.run(running))
        self.running = running
        self.last = self.backup()
        self.new = self.useFixture(
            proxy_fixture.Proxy(connection=f'sqlite:///{copy}')
        )

    def database(self):
        return self.old.catalog.engine.url.database

    def test_what_was_acknowledged_since_is_not_lost(self):
        self.take_over()
        self.give_the_running_one_up()
        collection.schedule(self.new.catalog, self.new.conf)
        self.assertEqual([], jobs.list(self.new.catalog, kind='gc')[0])
        result = self.rebuild()
        self.assertEqual((3, 1), (result['images'], result['added']))
        [difference] = result['differences']
        self.assertIn(self.running.image.id, difference)
        self.assertEqual(
            {self.first.id, self.running.image.id, self.last.id}, self.known()
        )
        maintenance.collect(
            self.task(repositories.collect(self.new.catalog, 'default'))
        )
        with open(self.path, 'rb') as file:
            content = file.read()
        for image_id in self.known():
            self.assertEqual(content, self.restored(image_id))
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(self.last.generation + 1, reserved.generation)

    def give_the_running_one_up(self):
        """Its driver and its proxy belong to the other catalog."""
        self.new.age(self.running.spec.id, 600)
        leases.expire(self.new.catalog, self.new.conf)
        leases.expire(self.new.catalog, self.new.conf)
        image = self.new.image(self.running.image.id)
        self.assertEqual('error', image.state)

    def test_other_copy_is_fenced(self):
        self.take_over()
        task = self.old.backup_task(self.path)
        self.assertRaises(repository_errors.ForeignOwner, backup.run, task)


class TestThereAndBack(RebuildTestCase):
    """The old service lets the new one be, and takes over in turn."""

    def test_backup_that_was_interrupted_before_does_not_go_on(self):
        self.backup()
        task = self.old.backup_task(self.path, volume_id=self.volume_id)
        session = self.old.open_repository().session(task.spec.id, 2)
        with contextlib.closing(session):
            session.writer().add(b'i' * 32, memoryview(b'x' * 100))
            session.flush()
        reached = messages.Checkpoint(None, 1, {})
        self.old.server.checkpoint(task.spec.id, task.spec.token, reached)
        self.old.finish(task.spec, 'returned')
        self.recover()
        job = repositories.collect(self.new.catalog, 'default')
        collecting = self.task(job)
        result = maintenance.collect(collecting)
        self.new.finish(collecting.spec, result=result)
        # It has collected what the backup would go on from.
        self.assertEqual(1, result['packs_removed'])
        _, job = server_takeover.begin(
            self.old.catalog, 'default', self.old.url, self.repo.id
        )
        taking = self.old.task(self.old.spec(job.id))
        self.old.finish(taking.spec, result=takeover.run(taking))
        jobs.beat(self.old.catalog, task.spec.id)
        self.assertEqual({}, self.old.assign())
        self.assertEqual('cancelled', self.old.job(task.spec.id).state)


class TestOwner(RebuildTestCase):
    def test_without_a_takeover_it_is_refused(self):
        _, job = server_takeover.begin(
            self.new.catalog, 'default', self.old.url, self.repo.id
        )
        self.new.finish(self.new.run(job.id), 'failed')
        task = self.begin()
        self.assertRaises(repository_errors.ForeignOwner, rebuild.run, task)
        self.assertEqual(set(), self.known())

    def test_taken_over_by_another_meanwhile(self):
        self.backup()
        self.take_over()
        task = self.begin()
        task.control.check = lambda: self.repo.take_over('another', 0)
        self.assertRaises(repository_errors.ForeignOwner, rebuild.run, task)

    def test_newer_format(self):
        self.take_over()
        task = self.begin()
        self.make_newer('repository', layout.REPOSITORY)
        self.assertRaises(
            repository_errors.UnsupportedFormat, rebuild.run, task
        )
