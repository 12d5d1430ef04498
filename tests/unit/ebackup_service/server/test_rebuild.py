# SPDX-License-Identifier: Apache-2.0

import dataclasses
import threading

import fixtures

from ebackup_service.rpc import findings
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server import collection
from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import rebuild
from ebackup_service.server import repositories
from ebackup_service.server import takeover
from tests import base
from tests.unit.ebackup_service import catalog_fixture

PROJECT = catalog_fixture.PROJECT
CHUNK = catalog_fixture.CHUNK
TREE = {'id': '00' * 32, 'offset': 1}
new_id = catalog_fixture.new_id


def image(**values):
    """An image as a proxy finds it."""
    return findings.Image(
        **{
            'id': new_id(),
            'project_id': PROJECT,
            'volume_id': new_id(),
            'generation': 1,
            'size': 10 * CHUNK,
            'chunk_size': CHUNK,
            'tree': TREE,
            'created_at': '2026-01-02T03:04:05Z',
            'incremental': False,
            'record': {'display_name': 'nightly'},
            'volume_metadata': '{"v": 1}',
            'statistics': {'bytes_read': 7, 'bytes_stored': 5},
            **values,
        }
    )


class RebuildTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.conf = self.fixture.conf
        self.repository_id = self.fixture.make_repository(
            state=repository_rows.RECOVERING
        )
        self.begin()

    def begin(self):
        job = repositories.rebuild(self.catalog, 'default')
        self.spec = self.fixture.run(job.id)

    def take(self, *found, spent=(), deleted=(), floor=None, token=None):
        return rebuild.take(
            self.catalog,
            self.conf,
            self.spec.id,
            self.spec.token if token is None else token,
            findings.Findings([*found], [*spent], [*deleted], floor),
        )

    def finish(self):
        self.fixture.finish(self.spec, result={})

    def differ(self, found):
        """Take an image that the catalog has otherwise; what is said."""
        verdict = self.take(found)
        self.assertEqual(0, verdict.added)
        [difference] = verdict.differences
        self.assertIn(found.id, difference)
        return difference

    def agree(self, found):
        self.assertEqual(findings.Verdict(True, 0, []), self.take(found))

    def next_generation(self, found):
        """Of a chain, when the repository takes backups again."""
        self.finish()
        reserved, _ = self.fixture.reserve(
            volume_id=found.volume_id, project_id=found.project_id
        )
        return reserved.generation


class TestNew(RebuildTestCase):
    def test_image_has_all_that_it_had(self):
        found = image(
            record={
                'user_id': 'u',
                'snapshot_id': new_id(),
                'display_name': 'n\U0001f4be',
                'display_description': 'd',
                'availability_zone': 'nova',
            },
            incremental=True,
            generation=4,
        )
        self.assertEqual(findings.Verdict(True, 1, []), self.take(found))
        row = images.show(self.catalog, found.id)
        self.assertEqual('available', row.state)
        for name in (
            'project_id',
            'volume_id',
            'generation',
            'size',
            'chunk_size',
            'record',
            'volume_metadata',
        ):
            self.assertEqual(getattr(found, name), getattr(row, name), name)
        self.assertEqual(
            ('u', found.record['snapshot_id'], 'n\U0001f4be', 'd'),
            (row.user_id, row.snapshot_id, row.name, row.description),
        )
        self.assertEqual('nova', row.volume['availability_zone'])
        self.assertEqual(
            ('incremental', 7, 5),
            (row.kind, row.bytes_read, row.bytes_stored),
        )
        self.assertEqual(found.statistics, row.root['statistics'])
        self.assertEqual(
            '2026-01-02T03:04:05+00:00', row.created_at.isoformat()
        )

    def test_image_is_the_base_of_the_next_backup(self):
        old, new = (
            image(volume_id='v', generation=generation)
            for generation in (1, 2)
        )
        self.take(new)
        self.take(old)
        self.finish()
        _, job = self.fixture.reserve(volume_id='v')
        spec = self.fixture.run(job.id)
        self.assertEqual(new.id, spec.base.image_id)
        self.assertEqual(TREE, spec.base.tree)
        self.assertEqual(3, spec.image.generation)

    def test_image_can_be_restored_before_all_are_known(self):
        found = image()
        self.take(found)
        job = self.fixture.restore(images.show(self.catalog, found.id))
        self.assertEqual(TREE, job.pin['tree'])

    def test_images_of_other_projects_are_other_chains(self):
        one, two = image(volume_id='v'), image(volume_id='v', project_id='q')
        self.assertEqual(2, self.take(one, two).added)

    def test_record_may_say_anything(self):
        long = 'x' * 100_000
        for record in (
            {},
            {'display_name': 5, 'snapshot_id': ['a'], 'user_id': {}},
            {'display_name': long, 'display_description': long},
            {'display_name': 'n\0\ud800', 'availability_zone': long},
        ):
            found = image(
                record=record,
                statistics={'bytes_read': 2**63, 'bytes_stored': 'many'},
            )
            self.assertEqual(1, self.take(found).added)
            row = images.show(self.catalog, found.id)
            self.assertIsNone(row.bytes_read)
            self.assertEqual(record, row.record)

    def test_instant_may_be_none(self):
        for text in ('', 'yesterday', '2026-01-01T00:00:00', '9' * 50):
            self.assertEqual(1, self.take(image(created_at=text)).added)

    def test_chunk_size_is_that_of_the_newest(self):
        for generation, size in ((1, CHUNK), (3, 4 * CHUNK), (2, 2 * CHUNK)):
            self.take(
                image(volume_id='v', generation=generation, chunk_size=size)
            )
        self.finish()
        reserved, _ = self.fixture.reserve(volume_id='v')
        self.assertEqual(4 * CHUNK, reserved.chunk_size)


class TestGenerations(RebuildTestCase):
    def test_that_of_a_root_without_marker_is_spent(self):
        found = image()
        spent = findings.Spent(PROJECT, found.volume_id, 6, CHUNK)
        self.take(found, spent=[spent])
        self.assertEqual(7, self.next_generation(found))

    def test_that_of_a_deleted_image_is_spent(self):
        found = image()
        spent = findings.Spent(PROJECT, found.volume_id, 6, None)
        self.take(spent=[spent])
        self.assertEqual(7, self.next_generation(found))

    def test_order_does_not_matter(self):
        found = image(generation=9)
        spent = findings.Spent(PROJECT, found.volume_id, 6, CHUNK)
        self.take(found)
        self.take(spent=[spent])
        self.assertEqual(10, self.next_generation(found))

    def test_one_of_an_unknown_chain_is_spent_in_all(self):
        found = image(generation=2)
        self.take(found)
        self.take(floor=20)
        self.assertEqual(21, self.next_generation(found))

    def test_those_that_the_catalog_gave_out_stay_so(self):
        found = image()
        self.take(found)
        self.assertEqual(2, self.next_generation(found))
        self.begin()
        self.take(found, floor=1)
        self.assertEqual(3, self.next_generation(found))


class TestTombstones(RebuildTestCase):
    def test_deleted_stays_deleted(self):
        image_id = new_id()
        self.take(deleted=[image_id])
        self.finish()
        error = self.assertRaises(
            errors.Conflict, self.fixture.reserve, image_id
        )
        self.assertEqual('image-deleted', error.kind)
        row = self.fixture.image(image_id)
        self.assertEqual(self.repository_id, row.repository_id)

    def test_again_changes_nothing(self):
        image_id = new_id()
        self.take(deleted=[image_id])
        before = self.fixture.image(image_id)
        self.take(deleted=[image_id])
        self.assertEqual(before, self.fixture.image(image_id))

    def test_image_that_the_catalog_has_is_kept(self):
        found = image()
        self.take(found, deleted=[found.id])
        self.assertEqual('available', self.fixture.image(found.id).state)


class TestKnownAlready(RebuildTestCase):
    def setUp(self):
        super().setUp()
        self.found = image()
        self.take(self.found)

    def row(self):
        return self.fixture.image(self.found.id)

    def move(self, state, **values):
        with self.catalog.writer() as session:
            image_rows.move(
                session,
                self.found.id,
                image_rows.STATES,
                state=state,
                **values,
            )

    def test_same_again_changes_nothing(self):
        before = self.row()
        self.agree(self.found)
        self.assertEqual(before, self.row())

    def test_differences_are_told_and_the_catalog_is_kept(self):
        before = self.row()
        for values in (
            {'size': 1},
            {'generation': 7},
            {'chunk_size': 2 * CHUNK},
            {'volume_id': new_id()},
            {'project_id': 'q'},
            {'tree': None},
        ):
            self.differ(dataclasses.replace(self.found, **values))
        self.assertEqual(before, self.row())

    def test_one_that_is_just_made_is_left_to_its_job(self):
        self.move('creating')
        self.agree(self.found)
        self.assertEqual('creating', self.row().state)

    def test_one_that_is_just_deleted_is_left_to_its_job(self):
        images.delete(self.catalog, self.found.id)
        self.agree(self.found)
        self.assertEqual('deleting', self.row().state)

    def test_one_that_failed_by_an_old_copy_is_available_again(self):
        """Afterwards it was acknowledged, or it would not have a marker."""
        self.move('error', error={'kind': 'x'}, root=None)
        self.assertIn('available again', self.differ(self.found))
        row = self.row()
        self.assertEqual(('available', None), (row.state, row.error))
        self.assertEqual(TREE, row.root['tree'])

    def test_one_that_failed_before_its_size_was_known_is_too(self):
        """Cinder says GiB; some storages have it to the byte."""
        self.move('error', root=None, size=self.found.size + 512)
        self.assertIn('available again', self.differ(self.found))
        row = self.row()
        self.assertEqual(('available', self.found.size), (row.state, row.size))

    def test_one_that_failed_and_is_another_is_not(self):
        self.move('error')
        self.differ(dataclasses.replace(self.found, size=1))
        self.assertEqual('error', self.row().state)

    def test_one_that_was_deleted_before_it_was_known_is_collected(self):
        found = image()
        images.delete(self.catalog, found.id)
        self.assertIn('collection', self.differ(found))
        self.assertEqual('deleted', self.fixture.image(found.id).state)
        self.assertEqual(1, repositories.show(self.catalog, 'default').garbage)

    def test_one_that_another_project_asked_to_delete_is_there(self):
        """It failed to import it, and had it been known, was refused."""
        found = image()
        images.delete(self.catalog, found.id, 'b' * 32)
        self.assertEqual(1, self.take(found).added)
        row = images.show(self.catalog, found.id, PROJECT)
        self.assertEqual(('available', TREE), (row.state, row.root['tree']))
        mine = image()
        for project_id in ('b' * 32, PROJECT):
            images.delete(self.catalog, mine.id, project_id)
        self.differ(mine)

    def test_one_of_another_repository_is_told(self):
        self.fixture.make_repository('other')
        other, _ = self.fixture.reserve(repository='other')
        self.differ(image(id=other.id))

    def test_generation_that_another_image_has_is_told(self):
        second = image(volume_id=self.found.volume_id)
        self.assertIn(self.found.id, self.differ(second))
        self.assertIsNone(self.fixture.image(second.id))


class TestKnown(RebuildTestCase):
    def known(self, after=''):
        return rebuild.known(
            self.catalog, self.spec.id, self.spec.token, after
        )

    def test_available_ones_come_by_id_and_page_by_page(self):
        self.useFixture(fixtures.MockPatchObject(rebuild, '_PAGE', 2))
        found = [image() for _ in range(3)]
        deleted = new_id()
        self.take(*found, deleted=[deleted])
        ids = sorted(each.id for each in found)
        self.assertEqual(ids[:2], self.known().image_ids)
        self.assertEqual(ids[2:], self.known(ids[1]).image_ids)
        self.assertEqual([], self.known(ids[2]).image_ids)

    def test_given_up_rebuild_learns_nothing(self):
        self.finish()
        self.assertFalse(self.known().accepted)


class TestFences(RebuildTestCase):
    def test_run_that_was_given_up_is_not_heard(self):
        found = image()
        verdict = self.take(found, token=self.spec.token - 1)
        self.assertFalse(verdict.accepted)
        self.finish()
        self.assertFalse(self.take(found).accepted)
        self.assertIsNone(self.fixture.image(found.id))

    def test_only_a_rebuild_is_heard(self):
        self.finish()
        job = repositories.check(self.catalog, 'default')
        self.spec = self.fixture.run(job.id)
        self.assertFalse(self.take(image()).accepted)

    def test_two_at_once_do_not_harm(self):
        """A message that was repeated because its answer took long."""
        found = [image(volume_id=f'v{n}') for n in range(5)]
        verdicts = []
        threads = [
            threading.Thread(target=lambda: verdicts.append(self.take(*found)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(5, sum(verdict.added for verdict in verdicts))
        self.assertEqual([], sum((v.differences for v in verdicts), []))

    def test_two_do_not_run_at_once(self):
        second = repositories.rebuild(self.catalog, 'default')
        third = repositories.rebuild(self.catalog, 'default')
        self.assertEqual(second.id, third.id)
        self.assertNotEqual(self.spec.id, second.id)
        self.assertEqual({}, self.fixture.assign())
        self.finish()
        self.assertEqual([second.id], [*self.fixture.assign()])


class TestConclude(RebuildTestCase):
    def state(self):
        return repositories.show(self.catalog, 'default').state

    def test_repository_takes_backups_again(self):
        self.finish()
        self.assertEqual('available', self.state())

    def test_what_the_service_before_has_left_is_collected(self):
        self.finish()
        collection.schedule(self.catalog, self.conf)
        [job], _ = jobs.list(self.catalog, kind='gc')
        self.fixture.finish(self.fixture.run(job.id), result={})
        found = repositories.show(self.catalog, 'default')
        self.assertEqual(0, found.garbage)

    def test_failure_leaves_it_recovering(self):
        self.fixture.finish(self.spec, 'failed')
        self.assertEqual('recovering', self.state())
        self.begin()

    def test_takeover_that_waits_needs_a_rebuild_of_its_own(self):
        _, job = takeover.begin(
            self.catalog, 'default', 'file:///r', self.repository_id
        )
        self.finish()
        self.assertEqual('recovering', self.state())
        spec = self.fixture.run(job.id)
        self.fixture.finish(spec, result={'owner_generation': 2})
        self.assertEqual('recovering', self.state())
        self.begin()
        self.finish()
        self.assertEqual('available', self.state())

    def test_repository_that_was_available_stays_so(self):
        self.finish()
        self.begin()
        self.finish()
        self.assertEqual('available', self.state())
        self.assertEqual([], jobs.list(self.catalog, state='pending')[0])
