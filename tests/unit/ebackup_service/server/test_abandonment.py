# SPDX-License-Identifier: Apache-2.0
import logging

import fixtures

from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import repositories
from ebackup_service.server import snapshots
from ebackup_service.server import storages
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.server import test_snapshots

ELSEWHERE = 'node@other'


class AbandonTestCase(test_snapshots.SnapshotsTestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

    def abandon(self, name='one'):
        """Names of the snapshots that are left behind."""
        _, left = storages.delete(self.catalog, name, force=True)
        return [row.name for row in left]

    def register(self, name='two', backend=folder.BACKEND):
        return storages.create(
            *(self.catalog, self.conf, name, folder.KIND),
            backends=[backend],
            settings={'directory': '/elsewhere'},
        )

    def said(self):
        """What the log says of snapshots that are left behind."""
        lines = self.log.output.splitlines()
        return [line for line in lines if 'deleted by force' in line]

    def names(self):
        return [found.name for found in storages.list(self.catalog)]

    def fail(self, snapshot_id='1', **volume):
        """A backup that leaves a snapshot to be removed; its name."""
        spec = self.begin(**volume)
        name = self.take(spec, snapshot_id)
        self.fixture.finish(spec, 'failed')
        return name


class TestAbandon(AbandonTestCase):
    def test_storage_is_forgotten_with_its_snapshots(self):
        _, anchor = self.back_up('1')
        condemned = self.fail('2')
        spec = self.begin()
        planned = self.plan(spec).name
        self.fixture.finish(spec, 'failed')
        self.assertEqual([anchor, condemned, planned], self.abandon())
        self.assertEqual([], self.rows())
        self.assertEqual([], self.names())

    def test_what_is_left_is_logged(self):
        _, anchor = self.back_up('7')
        spec = self.begin()
        planned = self.plan(spec, 'other-lun').name
        self.fixture.finish(spec, 'failed')
        self.abandon()
        known, unknown = self.said()
        for words in (anchor, 'id 7', 'anchor', self.volume_id, 'LUN lun'):
            self.assertIn(words, known)
        for words in (planned, 'id unknown', 'condemned', 'LUN other-lun'):
            self.assertIn(words, unknown)

    def test_one_without_snapshots(self):
        self.assertEqual([], self.abandon())
        self.assertEqual([], self.said())
        self.assertEqual([], self.names())

    def test_again_it_is_unknown(self):
        self.back_up()
        self.abandon()
        error = self.assertRaises(errors.NotFound, self.abandon)
        self.assertEqual('storage-unknown', error.kind)

    def test_nothing_else_is_forgotten(self):
        self.register('two', ELSEWHERE)
        kept = self.fail('2', host=f'{ELSEWHERE}#pool')
        image, gone = self.back_up('1')
        self.assertEqual([gone], self.abandon())
        self.assertEqual([kept], [row.name for row in self.rows()])
        self.assertEqual(['two'], self.names())
        found = images.show(self.catalog, image.id)
        self.assertEqual('available', found.state)

    def test_repository_is_not_held_by_them_any_more(self):
        image, _ = self.back_up()
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id))
        self.abandon()
        self.conf.set_override('default_repository', 'other')
        repositories.delete(self.catalog, self.conf, 'default')


class TestRefused(AbandonTestCase):
    def refused(self, kind, *words):
        error = self.assertRaises(errors.Conflict, self.abandon)
        self.assertEqual(kind, error.kind)
        for said in words:
            self.assertIn(said, str(error))
        self.assertEqual(['one'], self.names())

    def test_while_a_job_of_its_volumes_goes_on(self):
        _, anchor = self.back_up()
        _, waiting = self.reserve()
        self.refused('storage-in-use', waiting.id, 'cancel it')
        spec = self.renew(self.assign(waiting))
        planned = self.plan(spec).name
        self.refused('storage-in-use', f'backup job {spec.id}, running')
        jobs.cancel(self.catalog, spec.id)
        # which its proxy has not heard yet
        self.refused('storage-in-use', spec.id)
        self.assertEqual([], self.said())
        self.fixture.finish(spec, 'cancelled')
        self.assertEqual([anchor, planned], self.abandon())

    def test_as_long_as_the_configuration_names_it(self):
        storages.update(self.catalog, self.conf, 'one', configured=True)
        self.back_up()
        self.refused('storage-configured', 'enabled_storages')
        self.assertEqual(1, len(self.rows()))


class TestHint(AbandonTestCase):
    def hint(self, action, *args, **values):
        error = self.assertRaises(
            errors.Conflict, action, self.catalog, *args, **values
        )
        self.assertEqual('storage-in-use', error.kind)
        # of what the API says nothing is cut off
        self.assertLessEqual(len(str(error)), 255)
        return str(error)

    def test_who_can_not_delete_it_or_change_its_place_is_told_how(self):
        self.back_up()
        place = {'settings': {'directory': '/else'}}
        for said in (
            self.hint(storages.delete, 'one'),
            self.hint(storages.update, self.conf, 'one', **place),
        ):
            self.assertIn('gone for good: storage delete --force', said)
        self.assertEqual(1, len(self.rows()))

    def test_of_one_in_the_configuration_that_comes_first(self):
        self.back_up()
        said = self.hint(
            *(storages.update, self.conf, 'one'),
            settings={'directory': '/else'},
            configured=True,
        )
        self.assertNotIn('enabled_storages', said)
        storages.update(self.catalog, self.conf, 'one', configured=True)
        said = self.hint(
            *(storages.update, self.conf, 'one'),
            settings={'directory': '/else'},
            configured=True,
        )
        self.assertIn('take it out of enabled_storages', said)


class TestRelease(AbandonTestCase):
    """What removes snapshots of a storage ends with it."""

    def ask(self, spec):
        """What a proxy is told that wants to go on."""
        return leases.renew(self.catalog, self.conf, spec.id, spec.token, {})

    def test_job_that_waits_ends_at_once(self):
        self.fail()
        self.announce()
        snapshots.schedule(self.catalog, self.conf)
        self.abandon()
        [job] = jobs.list(self.catalog, kind='release')[0]
        self.assertEqual('cancelled', job.state)
        self.assertIn("'one' was deleted by force", job.error['message'])
        self.assertEqual({}, self.fixture.assign())

    def test_job_that_was_not_taken_up_is_not_begun(self):
        self.fail()
        [(spec, _)] = self.schedule()
        self.abandon()
        self.assertEqual('cancelled', self.fixture.job(spec.id).state)
        self.assertFalse(self.ask(spec).granted)

    def test_job_that_runs_is_cancelled(self):
        self.fail()
        [(spec, _)] = self.schedule()
        self.renew(spec)
        self.abandon()
        grant = self.ask(spec)
        self.assertEqual((False, 'cancelled'), (grant.granted, grant.reason))
        self.fixture.finish(spec, 'cancelled')
        self.assertEqual('cancelled', self.fixture.job(spec.id).state)
        self.assertEqual([], self.schedule())

    def test_job_of_which_nobody_is_heard_ends_with_its_lease(self):
        self.fail()
        [(spec, _)] = self.schedule()
        self.renew(spec)
        self.abandon()
        self.fixture.age(spec.id, 3600)
        leases.expire(self.catalog, self.conf)
        self.assertEqual('cancelled', self.fixture.job(spec.id).state)

    def test_job_that_has_removed_some_may_say_so(self):
        self.fail('1')
        self.fail('2')
        [(spec, _)] = self.schedule()
        self.renew(spec)
        self.abandon()
        ids = [spec.release[0].id]
        said = self.fixture.finish(spec, result={'released': ids, 'failed': 1})
        self.assertTrue(said.accepted)
        self.assertEqual('succeeded', self.fixture.job(spec.id).state)
        self.assertEqual([], self.rows())

    def test_job_of_another_storage_goes_on(self):
        self.register('two', ELSEWHERE)
        self.fail('1')
        self.fail('2', host=f'{ELSEWHERE}#pool')
        specs = {spec.storage.name: spec for spec, _ in self.schedule()}
        self.renew(specs['two'])
        self.abandon()
        self.assertTrue(self.ask(specs['two']).granted)

    def test_snapshot_that_is_taken_late_is_refused(self):
        """Its proxy removes it then."""
        spec = self.begin()
        plan = self.plan(spec)
        self.fixture.finish(spec, 'failed')
        self.abandon()
        self.assertFalse(self.taken(spec, plan).accepted)
        self.assertEqual([], self.rows())


class TestNextBackup(AbandonTestCase):
    def test_it_builds_upon_the_newest_image_without_an_anchor(self):
        self.back_up('1')
        snapshot = {'id': catalog_fixture.new_id(), 'name': 's', 'size': 5}
        spec = self.begin(snapshot=snapshot)
        newest = spec.image.id
        self.fixture.commit(spec)
        self.fixture.finish(spec, result={'kind': 'incremental'})
        self.abandon()
        self.register('one')
        spec = self.begin()
        self.assertEqual(newest, spec.base.image_id)
        self.assertIsNone(spec.anchor)

    def test_it_leaves_an_anchor_again(self):
        self.back_up('1')
        self.abandon()
        storage = self.register('one')
        self.back_up('2')
        [row] = self.rows()
        self.assertEqual(('anchor', storage.id), (row.state, row.storage_id))

    def test_without_a_storage_its_driver_attaches_it(self):
        image, _ = self.back_up('1')
        self.abandon()
        _, job = self.reserve()
        self.assertEqual('attachment', job.needs)
        self.fixture.attach(job.id)
        spec = self.assign(job)
        self.assertIsNone(spec.storage)
        self.assertEqual(image.id, spec.base.image_id)
