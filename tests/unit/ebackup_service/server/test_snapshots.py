# SPDX-License-Identifier: Apache-2.0
import dataclasses

import sqlalchemy as sa

from ebackup_service.rpc import messages
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from ebackup_service.server import snapshots
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import folder


class SnapshotsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(folder.FolderKind())
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog, self.conf = self.fixture.catalog, self.fixture.conf
        self.fixture.make_repository()
        self.storage = storages.create(
            self.catalog,
            self.conf,
            'one',
            folder.KIND,
            backends=[folder.BACKEND],
            settings={'directory': '/nowhere'},
        )
        self.volume_id = catalog_fixture.new_id()

    def reserve(self, **volume):
        image, job = self.fixture.reserve(
            volume_id=self.volume_id,
            volume={**folder.volume('volume'), **volume},
        )
        return image, job

    def announce(self, host='here', **values):
        self.fixture.announce(
            host, production=['attached', folder.KIND], **values
        )

    def assign(self, job):
        self.announce()
        return self.fixture.assign()[job.id]

    def begin(self, **volume):
        """A backup that is running."""
        _, job = self.reserve(**volume)
        return self.renew(self.assign(job))

    def renew(self, spec):
        self.fixture.renew(spec)
        return spec

    def plan(self, spec, lun='lun'):
        return snapshots.plan(self.catalog, spec.id, spec.token, lun)

    def taken(self, spec, plan, snapshot_id='1'):
        return snapshots.taken(
            self.catalog, spec.id, spec.token, plan.name, snapshot_id
        )

    def take(self, spec, snapshot_id='1'):
        plan = self.plan(spec)
        self.assertTrue(self.taken(spec, plan, snapshot_id).accepted)
        return plan.name

    def succeed(self, spec, **more):
        result = {'kind': 'full', 'reduced': True, **more}
        self.fixture.finish(spec, result=result)

    def back_up(self, snapshot_id='1', **result):
        """An available image, and the name of its snapshot."""
        spec = self.begin()
        name = self.take(spec, snapshot_id)
        self.fixture.commit(spec)
        self.succeed(spec, **result)
        return images.show(self.catalog, spec.image.id), name

    def rows(self, **values):
        with self.catalog.reader() as session:
            return snapshot_rows.find(session, **values)

    def states(self):
        """Of each row, by its snapshot's id."""
        return {row.snapshot_id: row.state for row in self.rows()}

    def schedule(self):
        """What is to be released, by name, in the jobs that are made."""
        self.announce()
        snapshots.schedule(self.catalog, self.conf)
        handed = self.fixture.assign().values()
        return [
            (spec, [one.name for one in spec.release])
            for spec in handed
            if spec.kind == 'release'
        ]

    def forget_grace(self):
        with self.catalog.writer() as session:
            session.execute(sa.update(models.Snapshot).values(release_after=0))


class TestReservation(SnapshotsTestCase):
    def test_driver_is_not_needed(self):
        _, job = self.reserve()
        self.assertIsNone(job.needs)
        spec = self.assign(job)
        self.assertEqual('one', spec.storage.name)
        self.assertEqual(
            messages.VolumeSpec(self.volume_id, 'volume', folder.HOST),
            spec.volume,
        )

    def test_restore_neither(self):
        image, _ = self.back_up()
        target = catalog_fixture.new_id()
        job = self.fixture.restore(
            image, target, volume=folder.volume('target')
        )
        self.assertIsNone(job.needs)
        spec = self.assign(job)
        self.assertEqual(folder.KIND, spec.storage.kind)
        self.assertEqual('target', spec.volume.name)
        self.assertEqual(target, spec.volume.id)

    def test_it_is_needed_for_other_back_ends(self):
        for volume in ({'host': 'node@other#pool'}, {'backend_name': None}):
            _, job = self.reserve(**volume)
            self.assertEqual('attachment', job.needs)
            self.fixture.attach(job.id)
            spec = self.assign(job)
            self.assertIsNone(spec.storage)
            self.assertIsNone(spec.volume)
            self.fixture.finish(spec, 'failed')

    def test_any_proxy_that_reaches_the_storage(self):
        _, job = self.reserve()
        self.fixture.announce('one')
        self.assertEqual({}, self.fixture.assign())
        self.announce('two')
        [spec] = self.fixture.assign().values()
        self.assertEqual('two', self.fixture.job(job.id).proxy)
        self.assertEqual(job.id, spec.id)

    def test_the_one_with_the_least_to_do(self):
        for _ in range(4):
            self.fixture.reserve(volume=folder.volume('volume'))
        for host in ('one', 'two'):
            self.announce(host)
        self.fixture.assign()
        hosts = [job.proxy for job in jobs.list(self.catalog)[0]]
        self.assertEqual(['one', 'one', 'two', 'two'], sorted(hosts))

    def test_no_proxy_reaches_it(self):
        self.fixture.conf.set_override('proxy_timeout', 5.0, 'server')
        _, job = self.reserve()
        self.fixture.age(job.id, 6)
        jobs.beat(self.catalog, job.id)
        self.fixture.announce('one')
        self.fixture.assign()
        error = self.fixture.job(job.id).error
        self.assertEqual('no-proxy', error['kind'])
        self.assertIn(f'of kind {folder.KIND}', error['message'])


class TestTaking(SnapshotsTestCase):
    def test_row_is_there_before_the_snapshot(self):
        spec = self.begin()
        plan = self.plan(spec)
        [row] = self.rows()
        self.assertEqual('planned', row.state)
        self.assertEqual((plan.name, 'lun'), (row.name, row.lun))
        self.assertEqual(self.storage.id, row.storage_id)
        self.assertIsNone(row.snapshot_id)
        # as Cinder's driver for RBD recognises those of backups
        self.assertRegex(
            plan.name, rf'^backup\.{spec.image.id}\.snap\.[0-9.]+$'
        )

    def test_taken_is_noted_once(self):
        spec = self.begin()
        plan = self.plan(spec)
        for _ in range(2):
            self.assertTrue(self.taken(spec, plan, '7').accepted)
        self.assertEqual({'7': 'taken'}, self.states())

    def test_no_two_have_one_name(self):
        spec = self.begin()
        names = {self.plan(spec).name for _ in range(20)}
        self.assertEqual(20, len(names))

    def test_whoever_lost_the_job_plans_nothing(self):
        spec = self.begin()
        jobs.cancel(self.catalog, spec.id)
        self.assertFalse(self.plan(spec).accepted)
        self.assertEqual([], self.rows())

    def test_what_one_took_that_lost_the_job_goes_at_once(self):
        spec = self.begin()
        plan = self.plan(spec)
        self.fixture.finish(spec, 'failed')
        [row] = self.rows()
        self.assertEqual('condemned', row.state)
        self.assertEqual([], self.schedule())
        self.assertFalse(self.taken(spec, plan, '7').accepted)
        [(_, names)] = self.schedule()
        self.assertEqual([plan.name], names)

    def test_next_run_reads_what_was_taken(self):
        spec = self.begin()
        name = self.take(spec, '7')
        self.fixture.finish(spec, 'returned')
        again = self.assign(self.fixture.job(spec.id))
        self.assertEqual(
            messages.SnapshotSpec('lun', name, '7'), again.snapshot
        )
        self.assertEqual({'7': 'taken'}, self.states())

    def test_next_run_leaves_alone_what_was_planned(self):
        spec = self.begin()
        first = self.plan(spec)
        self.fixture.finish(spec, 'returned')
        again = self.renew(self.assign(self.fixture.job(spec.id)))
        self.assertIsNone(again.snapshot)
        self.assertNotEqual(first.name, self.plan(again).name)
        self.assertEqual(
            ['condemned', 'planned'], [row.state for row in self.rows()]
        )


class TestRepository(SnapshotsTestCase):
    def test_it_stays_as_long_as_snapshots_are_there(self):
        image, _ = self.back_up()
        self.fixture.conf.set_override('default_repository', 'other')
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id))
        error = self.assertRaises(
            errors.Conflict,
            repositories.delete,
            self.catalog,
            self.fixture.conf,
            'default',
        )
        self.assertEqual('repository-in-use', error.kind)
        self.assertIn('snapshots', str(error))


class TestAnchor(SnapshotsTestCase):
    def test_it_is_there_when_the_image_is(self):
        spec = self.begin()
        self.take(spec)
        self.fixture.commit(spec)
        self.assertEqual({'1': 'taken'}, self.states())
        self.succeed(spec)
        self.assertEqual({'1': 'anchor'}, self.states())

    def test_next_backup_builds_upon_it(self):
        image, name = self.back_up()
        spec = self.begin()
        self.assertEqual(image.id, spec.base.image_id)
        self.assertEqual(messages.SnapshotSpec('lun', name, '1'), spec.anchor)

    def test_storage_is_not_told_of_one_on_another(self):
        """Which has keys of its own, such as the numbers of its LUNs."""
        first, _ = self.back_up()
        snapshot = {'id': catalog_fixture.new_id(), 'name': 's', 'size': 5}
        spec = self.begin(snapshot=snapshot)
        newest = spec.image.id
        self.fixture.commit(spec)
        self.fixture.finish(spec, result={'kind': 'incremental'})
        other = 'node@other'
        storages.create(
            *(self.catalog, self.conf, 'two', folder.KIND),
            backends=[other],
            settings={'directory': '/elsewhere'},
        )
        spec = self.begin(host=f'{other}#pool')
        self.assertEqual('two', spec.storage.name)
        self.assertEqual(newest, spec.base.image_id)
        self.assertIsNone(spec.anchor)
        self.fixture.finish(spec, 'failed')
        for host, held in ((folder.HOST, first.id), (f'{other}#pool', None)):
            job = self.fixture.restore(
                *(first, self.volume_id),
                volume={
                    **folder.volume('volume'),
                    'host': host,
                    'size': first.size,
                },
                volume_is_new=False,
            )
            spec = self.renew(self.assign(job))
            self.assertEqual(held, spec.base and spec.base.image_id)
            self.assertIs(held is None, spec.anchor is None)
            self.fixture.finish(spec, 'failed')

    def test_newer_one_takes_its_place(self):
        self.back_up('1')
        self.back_up('2')
        self.assertEqual({'1': 'condemned', '2': 'anchor'}, self.states())

    def test_snapshot_of_cinder_does_not_move_it(self):
        first, _ = self.back_up('1')
        snapshot = {'id': catalog_fixture.new_id(), 'name': 's', 'size': 5}
        spec = self.begin(snapshot=snapshot)
        self.assertEqual('s', spec.volume.snapshot['name'])
        self.assertEqual(5, spec.image.size)
        self.fixture.commit(spec)
        self.fixture.finish(spec, result={'kind': 'incremental'})
        self.assertEqual({'1': 'anchor'}, self.states())
        # and what comes next builds upon what the storage can compare with
        spec = self.begin()
        self.assertEqual(first.id, spec.base.image_id)
        self.assertEqual('1', spec.anchor.snapshot_id)

    def test_backup_that_fails_moves_nothing(self):
        self.back_up('1')
        spec = self.begin()
        self.take(spec, '2')
        self.fixture.finish(spec, 'failed')
        self.assertEqual({'1': 'anchor', '2': 'condemned'}, self.states())

    def test_what_nobody_says_was_reduced_is_none(self):
        first, _ = self.back_up('1')
        second, _ = self.back_up('2', reduced=False)
        self.assertEqual('available', second.state)
        self.assertEqual({'1': 'anchor', '2': 'condemned'}, self.states())
        # and what comes next builds upon what the storage can compare with
        self.assertEqual(first.id, self.begin().base.image_id)

    def test_what_can_not_be_reduced_need_not_be(self):
        storage = folder.FolderStorage
        able = dataclasses.replace(storage.capabilities, light_anchors=False)
        self.patch(storage, 'capabilities', able)
        self.back_up('1', reduced=False)
        self.assertEqual({'1': 'anchor'}, self.states())

    def test_image_that_was_deleted_meanwhile_leaves_none(self):
        spec = self.begin()
        self.take(spec)
        self.fixture.commit(spec)
        images.delete(self.catalog, spec.image.id)
        self.succeed(spec)
        self.assertEqual({'1': 'condemned'}, self.states())

    def test_it_goes_with_its_image(self):
        first, _ = self.back_up('1')
        second, _ = self.back_up('2')
        images.delete(self.catalog, second.id)
        self.assertEqual({'1': 'condemned', '2': 'condemned'}, self.states())
        spec = self.begin()
        self.assertEqual(first.id, spec.base.image_id)
        self.assertIsNone(spec.anchor)

    def test_it_goes_when_the_volume_was_emptied(self):
        """Nobody told the storage that Cinder truncated a plain file."""
        image, _ = self.back_up('1')
        for emptied, state in ((False, 'anchor'), (True, 'condemned')):
            job = self.fixture.restore(
                image,
                self.volume_id,
                volume={**folder.volume('volume'), 'size': image.size},
                volume_is_new=emptied,
            )
            self.assertEqual({'1': state}, self.states())
            spec = self.assign(job)
            self.assertIs(emptied, spec.anchor is None)
            self.fixture.finish(self.renew(spec), 'failed')
        spec = self.begin()
        self.assertEqual(image.id, spec.base.image_id)
        self.assertIsNone(spec.anchor)

    def refuse(self, image, kind, **values):
        """Cinder has emptied the volume, and the restore is refused."""
        volume = {**folder.volume('volume'), 'size': image.size}
        volume.update(values.pop('volume', {}))
        error = self.assertRaises(
            errors.ServerError,
            self.fixture.restore,
            *(image, self.volume_id),
            volume=volume,
            volume_is_new=True,
            **values,
        )
        self.assertEqual(kind, error.kind)

    def assert_forsaken(self, spec):
        self.assertIsNone(spec.anchor)
        self.fixture.finish(spec, 'failed')

    def test_it_goes_when_the_restore_is_refused(self):
        """The volume was emptied before anybody could be asked."""
        other = self.fixture.make_image(volume={'availability_zone': 'one'})
        damaged = self.fixture.make_image()
        with self.catalog.writer() as session:
            image_rows.move(
                session,
                damaged.id,
                (image_rows.AVAILABLE,),
                damage=[[0, 4]],
                damaged_bytes=4,
            )
        deleted = self.fixture.make_image()
        images.delete(self.catalog, deleted.id)
        set_option = self.conf.set_override
        set_option('availability_zone_mismatch', 'refuse', 'server')
        for number, (image, kind, values) in enumerate(
            (
                (other, 'volume-too-small', {'volume': {'size': 512}}),
                (
                    other,
                    'availability-zone-mismatch',
                    {'volume': {'availability_zone': 'two'}},
                ),
                (other, 'image-unknown', {'project_id': 'b' * 32}),
                (deleted, 'image-not-available', {}),
                (damaged, 'image-damaged', {}),
            )
        ):
            with self.subTest(kind):
                self.back_up(f'{number}')
                self.refuse(image, kind, **values)
                self.assertEqual([], self.rows(state='anchor'))
                self.assert_forsaken(self.begin())
        self.back_up()
        _, job = self.fixture.reserve()
        set_option('max_unfinished_jobs', 1, 'server')
        self.refuse(other, 'too-many-jobs')
        self.assertEqual([], self.rows(state='anchor'))
        jobs.cancel(self.catalog, job.id)
        self.assert_forsaken(self.begin())

    def test_it_goes_when_another_job_has_the_volume(self):
        image, _ = self.back_up('1')
        first = self.fixture.restore(
            *(image, self.volume_id),
            volume={**folder.volume('volume'), 'size': image.size},
            volume_is_new=False,
        )
        self.refuse(image, 'volume-busy')
        self.assertEqual({'1': 'condemned'}, self.states())
        jobs.cancel(self.catalog, first.id)
        self.assert_forsaken(self.begin())

    def test_backup_of_a_volume_that_is_emptied_ends(self):
        """It reads what was emptied, and compares with its anchor."""
        image, _ = self.back_up('1')
        spec = self.begin()
        self.take(spec, '2')
        self.refuse(image, 'volume-busy')
        self.assertIn('emptied', self.fixture.job(spec.id).cancel_reason)
        self.assertFalse(self.fixture.commit(spec).accepted)
        self.fixture.finish(spec, 'cancelled')
        self.assertEqual({'1': 'condemned', '2': 'condemned'}, self.states())

    def test_backup_that_has_read_the_volume_before_leaves_none(self):
        image, _ = self.back_up('1')
        spec = self.begin()
        self.take(spec, '2')
        self.fixture.commit(spec)
        self.refuse(image, 'volume-busy')
        self.succeed(spec)
        made = images.show(self.catalog, spec.image.id)
        self.assertEqual('available', made.state)
        self.assertEqual({'1': 'condemned', '2': 'condemned'}, self.states())

    def test_backup_of_a_snapshot_of_cinder_goes_on(self):
        image, _ = self.back_up('1')
        snapshot = {'id': catalog_fixture.new_id(), 'name': 's', 'size': 5}
        _, job = self.fixture.reserve(
            volume_id=self.volume_id,
            volume={**folder.volume('volume'), 'snapshot': snapshot},
            snapshot_id=snapshot['id'],
        )
        self.refuse(image, 'volume-busy')
        self.assertEqual('pending', self.fixture.job(job.id).state)
        self.assertEqual({'1': 'condemned'}, self.states())

    def test_storage_that_keeps_none(self):
        storages.update(self.catalog, self.conf, 'one', anchors=False)
        self.back_up('1')
        self.assertEqual({'1': 'condemned'}, self.states())

    def test_storage_that_keeps_none_any_more(self):
        self.back_up('1')
        storages.update(self.catalog, self.conf, 'one', anchors=False)
        self.assertEqual({'1': 'condemned'}, self.states())

    def test_base_of_a_run_that_began_stays(self):
        first, _ = self.back_up('1')
        spec = self.begin()
        self.back_up('2')
        self.fixture.finish(spec, 'returned')
        again = self.assign(self.fixture.job(spec.id))
        self.assertEqual(first.id, again.base.image_id)
        self.assertIsNone(again.anchor)


class TestStorageInUse(SnapshotsTestCase):
    def refused(self, action):
        error = self.assertRaises(errors.Conflict, action, self.catalog)
        self.assertEqual('storage-in-use', error.kind)
        self.assertIn('--no-anchors', str(error))

    def test_no_sight_is_lost_of_what_is_on_it(self):
        self.back_up()
        self.refused(lambda catalog: storages.delete(catalog, 'one'))
        self.refused(
            lambda catalog: storages.update(
                catalog, self.conf, 'one', settings={'directory': '/else'}
            )
        )
        storages.update(self.catalog, self.conf, 'one', anchors=False)
        self.refused(lambda catalog: storages.delete(catalog, 'one'))
        storages.update(
            *(self.catalog, self.conf, 'one'),
            settings={'directory': '/nowhere', 'label': 'other'},
        )
        [(spec, _)] = self.schedule()
        self.fixture.renew(spec)
        ids = [one.id for one in spec.release]
        self.fixture.finish(spec, result={'released': ids})
        storages.delete(self.catalog, 'one')


class TestRelease(SnapshotsTestCase):
    def condemn(self, snapshot_id='1'):
        spec = self.begin()
        name = self.take(spec, snapshot_id)
        self.fixture.finish(spec, 'failed')
        return name

    def test_nothing_to_do(self):
        self.back_up()
        self.assertEqual([], self.schedule())

    def test_condemned_is_released_and_forgotten(self):
        names = [self.condemn(number) for number in '12']
        [(spec, released)] = self.schedule()
        self.assertEqual(names, released)
        self.assertEqual(['1', '2'], [x.snapshot_id for x in spec.release])
        self.assertEqual('volume', spec.release[0].volume.name)
        self.assertEqual(self.storage.id, spec.storage.id)
        # one job at a time
        self.assertEqual([], self.schedule())
        ids = [one.id for one in spec.release]
        self.fixture.renew(spec)
        self.fixture.finish(spec, result={'released': ids})
        self.assertEqual([], self.rows())

    def test_what_stays_is_tried_again_later(self):
        self.condemn('1')
        self.condemn('2')
        [(spec, _)] = self.schedule()
        first = spec.release[0].id
        self.fixture.renew(spec)
        self.fixture.finish(spec, result={'released': [first], 'failed': 1})
        [row] = self.rows()
        self.assertEqual(('2', 1), (row.snapshot_id, row.failures))
        self.assertEqual([], self.schedule())
        self.forget_grace()
        self.assertEqual(1, len(self.schedule()))

    def test_job_that_failed_is_tried_again_later(self):
        self.condemn()
        [(spec, _)] = self.schedule()
        self.fixture.renew(spec)
        self.fixture.finish(
            spec, 'failed', error=messages.JobError('gone', 'Storage away')
        )
        [row] = self.rows()
        self.assertEqual(('condemned', 1), (row.state, row.failures))
        self.assertEqual([], self.schedule())

    def test_planned_has_a_time_of_grace(self):
        spec = self.begin()
        plan = self.plan(spec)
        self.fixture.finish(spec, 'failed')
        self.assertEqual([], self.schedule())
        self.forget_grace()
        [(release, names)] = self.schedule()
        self.assertEqual([plan.name], names)
        self.assertIsNone(release.release[0].snapshot_id)

    def condemn_many(self):
        """On a storage, as many as one job removes, and longer than others."""
        self.condemn()
        [row] = self.rows()
        values = dataclasses.asdict(row) | {'release_after': 1}
        with self.catalog.writer() as session:
            for number in range(snapshots._BATCH):
                values.update(id=catalog_fixture.new_id(), name=f'{number}')
                snapshot_rows.insert(session, **values)

    def condemn_elsewhere(self):
        storages.create(
            *(self.catalog, self.conf, 'two', folder.KIND),
            backends=['node@other'],
            settings={'directory': '/elsewhere'},
        )
        spec = self.begin(host='node@other#pool')
        name = self.take(spec, '2')
        self.fixture.finish(spec, 'failed')
        return name

    def test_no_storage_waits_for_another(self):
        self.condemn_many()
        name = self.condemn_elsewhere()
        released = {
            spec.storage.name: names for spec, names in self.schedule()
        }
        self.assertEqual(snapshots._BATCH, len(released['one']))
        self.assertEqual([name], released['two'])

    def test_no_storage_waits_for_one_that_is_busy(self):
        self.condemn_many()
        self.schedule()
        name = self.condemn_elsewhere()
        [(_, names)] = self.schedule()
        self.assertEqual([name], names)

    def test_no_volume_waits_for_another(self):
        self.condemn_many()
        used, self.volume_id = self.volume_id, catalog_fixture.new_id()
        name = self.condemn('2')
        self.volume_id = used
        self.begin()
        [(_, names)] = self.schedule()
        self.assertEqual([name], names)

    def test_not_while_the_volume_is_backed_up(self):
        self.condemn('1')
        spec = self.begin()
        self.assertEqual([], self.schedule())
        self.fixture.finish(spec, 'failed')
        self.assertEqual(1, len(self.schedule()))

    def release(self):
        for spec, _ in self.schedule():
            ids = [one.id for one in spec.release]
            self.fixture.finish(self.renew(spec), result={'released': ids})

    def assert_kept_for_a_restore(self, let_go):
        """It compares with the anchor as long as it goes on."""
        first, _ = self.back_up('1')
        image, name = self.back_up('2')
        self.release()
        job = self.fixture.restore(
            *(first, self.volume_id),
            volume={**folder.volume('volume'), 'size': image.size},
            volume_is_new=False,
        )
        spec = self.renew(self.assign(job))
        self.assertEqual(name, spec.anchor.name)
        let_go(image)
        self.assertEqual({'2': 'condemned'}, self.states())
        self.assertEqual([], self.schedule())
        self.fixture.finish(spec, result={})
        [(_, names)] = self.schedule()
        self.assertEqual([name], names)

    def test_not_while_a_restore_compares_and_its_image_is_deleted(self):
        self.assert_kept_for_a_restore(
            lambda image: images.delete(self.catalog, image.id)
        )

    def test_not_while_a_restore_compares_and_anchors_are_switched_off(self):
        self.assert_kept_for_a_restore(
            lambda _: storages.update(
                self.catalog, self.conf, 'one', anchors=False
            )
        )

    def test_not_by_a_proxy_that_can_not_reach_the_storage(self):
        self.condemn()
        self.fixture.announce('one')
        self.fixture.announce('here')
        snapshots.schedule(self.catalog, self.conf)
        self.assertEqual({}, self.fixture.assign())

    def test_not_while_no_proxy_is_there(self):
        self.condemn()
        self.fixture.age_proxy('here', 60)
        snapshots.schedule(self.catalog, self.conf)
        self.assertEqual([], jobs.list(self.catalog, kind='release')[0])
