# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import os
import sqlite3
from unittest import mock

import fixtures

from ebackup_service.engine import control
from ebackup_service.proxy import backup
from ebackup_service.proxy import errors
from ebackup_service.proxy import maintenance
from ebackup_service.proxy import rebuild
from ebackup_service.proxy import restore
from ebackup_service.proxy import takeover
from ebackup_service.repository import document
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import layout
from ebackup_service.repository import markers
from ebackup_service.repository import root as image_root
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
        self.assertEqual({'percent': 100}, task.snapshot())


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


class TestDamage(RebuildTestCase):
    def setUp(self):
        super().setUp()
        self.good = self.backup(volume_id=new_id())
        self.bad = self.backup()

    def left_out(self):
        """The damaged image is told, and the other one is there."""
        result = self.recover()
        self.assertEqual((1, 1), (result['images'], result['damaged']))
        [problem] = result['problems']
        self.assertIn(self.bad.id, problem)
        self.assertEqual({self.good.id}, self.known())
        return problem

    def test_damaged_root(self):
        self.patch(layout.root_key(self.bad.id), 200, b'\xff\xff')
        self.left_out()

    def test_damaged_image_can_be_given_up(self):
        self.patch(layout.root_key(self.bad.id), 200, b'\xff\xff')
        self.recover()
        gc = self.task(repositories.collect(self.new.catalog, 'default'))
        self.assertRaises(repository_errors.Corrupt, maintenance.collect, gc)
        self.new.finish(gc.spec, 'failed')
        images.delete(self.new.catalog, self.bad.id)
        gc = self.task(repositories.collect(self.new.catalog, 'default'))
        self.assertGreater(maintenance.collect(gc)['bytes_removed'], CHUNK)
        with open(self.path, 'rb') as file:
            self.assertEqual(file.read(), self.restored(self.good.id))
        self.new.finish(gc.spec)
        self.assertEqual(0, self.rebuild()['damaged'])

    def test_damaged_root_has_used_its_generation(self):
        self.backup()
        self.patch(layout.root_key(self.backup().id), 200, b'\xff\xff')
        self.recover()
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(4, reserved.generation)

    def test_damaged_marker(self):
        self.patch(layout.commit_key(self.bad.id), 100, b'\xff\xff')
        self.left_out()
        reserved, _ = self.new.reserve(volume_id=self.volume_id)
        self.assertEqual(2, reserved.generation)

    def test_missing_root(self):
        self.storage.delete(layout.root_key(self.bad.id))
        self.assertIn('missing', self.left_out())

    def test_root_of_a_newer_format(self):
        key = layout.root_key(self.bad.id)
        self.make_newer('root', key)
        self.assertIn('newer', self.left_out())

    def test_file_that_can_not_be_read(self):
        read = type(self.storage).read

        def fail(storage, key, fresh=False):
            if key == layout.root_key(self.bad.id):
                raise repository_errors.StorageUnavailable('I/O error')
            return read(storage, key)

        with mock.patch.object(type(self.storage), 'read', fail):
            self.assertIn('I/O error', self.left_out())

    def test_damaged_tombstone_counts(self):
        self.storage.create(layout.tombstone_key(self.bad.id), [b'damaged'])
        result = self.recover()
        self.assertEqual((1, 1), (result['images'], result['tombstones']))
        self.assertEqual({self.good.id}, self.known())

    def exchange(self, **values):
        """Give the image a root that is valid, and says something else."""
        content = self.repo.root(self.bad.id).to_json()
        content.update(values)
        data = document.seal(image_root.KIND, content)
        self.storage.replace(layout.root_key(self.bad.id), data)
        marker = markers.Commit(self.bad.id, document.digest(data), 1)
        key = layout.commit_key(self.bad.id)
        self.storage.replace(key, marker.to_bytes())

    def test_root_that_no_catalog_can_store(self):
        for values in (
            {'chain': {'project_id': 'p' * 300, 'volume_id': 'v'}},
            {'chain': {'project_id': 'p', 'volume_id': 'v\0'}},
            {'generation': 2**32 - 1},
        ):
            self.exchange(**values)
            self.left_out()

    def test_record_that_is_nested_beyond_measure(self):
        # As far as JSON goes before the format refuses it.
        deep = json.loads('{"a":' * 400 + '1' + '}' * 400)
        self.exchange(record=deep)
        self.left_out()

    def test_storage_that_is_away_is_no_damage(self):
        self.take_over()
        task = self.begin()
        with mock.patch.object(
            type(self.storage),
            'read',
            side_effect=repository_errors.StorageUnavailable('away'),
        ):
            self.assertRaises(
                repository_errors.StorageUnavailable, rebuild.run, task
            )

    def test_storage_that_goes_away_is_no_damage(self):
        self.take_over()
        task = self.begin()
        read = type(self.storage).read

        def fail(storage, key, fresh=False):
            if key.startswith('images/') or failed:
                failed.append(key)
                raise repository_errors.StorageUnavailable('away')
            return read(storage, key)

        failed = []
        with mock.patch.object(type(self.storage), 'read', fail):
            self.assertRaises(
                repository_errors.StorageUnavailable, rebuild.run, task
            )


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


class TestAgain(RebuildTestCase):
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
        self.useFixture(fixtures.MockPatchObject(rebuild, '_PATIENCE', 0.1))
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
