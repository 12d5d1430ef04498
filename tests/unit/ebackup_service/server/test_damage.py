# SPDX-License-Identifier: Apache-2.0

from unittest import mock

from ebackup_service.rpc import damage as found
from ebackup_service.server import damage
from ebackup_service.server import images
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture

CHUNK = catalog_fixture.CHUNK


class DamageTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.image = self.fixture.make_image(size=10 * CHUNK)
        job = repositories.check(self.catalog, 'default')
        self.spec = self.fixture.run(job.id)
        # What the check knew of the image that it reports.
        self.before = []

    def take(self, image_id, *extents, token=None):
        image = found.Image(image_id, list(extents), self.before)
        report = found.Report([image])
        token = self.spec.token if token is None else token
        return damage.take(self.catalog, self.spec.id, token, report).accepted

    def known(self, after='', token=None):
        token = self.spec.token if token is None else token
        return damage.known(self.catalog, self.spec.id, token, after)

    def damage(self, image):
        image = self.fixture.image(image.id)
        return image.damage, image.damaged_bytes


class TestTake(DamageTestCase):
    def test_what_was_found_is_all_that_is_known(self):
        self.assertTrue(self.take(self.image.id, [0, 4], [8, 4]))
        self.assertEqual(([[0, 4], [8, 4]], 8), self.damage(self.image))
        self.before = [[0, 4], [8, 4]]
        self.take(self.image.id, [8, 4])
        self.assertEqual(([[8, 4]], 4), self.damage(self.image))
        self.take(self.image.id)
        self.assertEqual(([], 0), self.damage(self.image))

    def test_what_a_restore_found_meanwhile_stays(self):
        """The check may not have looked there."""
        check = self.spec
        self.take(self.image.id, [0, 4])
        self.before = [[0, 4]]
        images.update(self.catalog, self.image.id, restore_damaged=True)
        self.spec = self.fixture.run(self.fixture.restore(self.image).id)
        self.take(self.image.id, [8, 4])
        self.spec = check
        for _ in range(2):
            self.take(self.image.id, [4, 1])
            self.assertEqual(([[4, 1], [8, 4]], 5), self.damage(self.image))

    def test_others_stay_as_they_are(self):
        other = self.fixture.make_image()
        self.take(self.image.id, [0, 4])
        self.take(other.id, [1, 1])
        self.assertEqual(([[0, 4]], 4), self.damage(self.image))

    def test_only_the_newest_run_of_a_check_is_heard(self):
        self.assertFalse(
            self.take(self.image.id, [0, 4], token=self.spec.token - 1)
        )
        self.fixture.finish(self.spec)
        self.assertFalse(self.take(self.image.id, [0, 4]))
        _, job = self.fixture.reserve()
        self.spec = self.fixture.run(job.id)
        self.assertFalse(self.take(self.image.id, [0, 4]))
        self.assertEqual(([], 0), self.damage(self.image))

    def test_images_of_others_and_unknown_ones_are_left_out(self):
        self.fixture.make_repository('other')
        other = self.fixture.make_image(repository='other')
        self.assertTrue(self.take(other.id, [0, 4]))
        self.assertTrue(self.take(catalog_fixture.new_id(), [0, 4]))
        self.assertEqual(([], 0), self.damage(other))

    def test_deleted_image_is_known_to_be_damaged_to_nobody_but_heirs(self):
        images.delete(self.catalog, self.image.id)
        self.take(self.image.id, [0, 4])
        self.assertEqual(([[0, 4]], 4), self.damage(self.image))
        self.assertEqual([], self.known().images)


class TestBases(DamageTestCase):
    def begin(self):
        _, job = self.fixture.reserve(
            volume_id=self.image.volume_id, size=self.image.size
        )
        return self.fixture.run(job.id)

    def bases(self, token=None):
        token = self.spec.token if token is None else token
        return damage.bases(self.catalog, self.spec.id, token)

    def test_bases_of_backups_that_are_under_way(self):
        self.assertEqual([], self.bases().trees)
        specs = [self.begin() for _ in range(2)]
        self.fixture.make_repository('other')
        self.fixture.run(self.fixture.reserve(repository='other')[1].id)
        self.fixture.run(self.fixture.restore(self.image).id)
        self.assertEqual([specs[0].base], self.bases().trees)
        images.delete(self.catalog, self.image.id)
        self.assertEqual([specs[0].base], self.bases().trees)
        self.fixture.finish(specs[0], 'returned')
        self.fixture.finish(specs[1], 'failed')
        self.assertEqual([specs[0].base], self.bases().trees)

    def test_old_run_learns_nothing(self):
        self.assertFalse(self.bases(self.spec.token - 1).accepted)
        self.fixture.finish(self.spec)
        self.assertFalse(self.bases().accepted)


class TestOfARestore(DamageTestCase):
    def setUp(self):
        super().setUp()
        self.take(self.image.id, [0, 4])
        images.update(self.catalog, self.image.id, restore_damaged=True)
        job = self.fixture.restore(self.image)
        self.spec = self.fixture.run(job.id)

    def test_what_it_found_is_added(self):
        self.assertTrue(self.take(self.image.id, [8, 4]))
        self.assertEqual(([[0, 4], [8, 4]], 8), self.damage(self.image))

    def test_it_does_not_ask(self):
        self.assertFalse(self.known().accepted)


class TestKnown(DamageTestCase):
    def test_page_by_page(self):
        others = [self.fixture.make_image() for _ in range(3)]
        for image in others:
            self.take(image.id, [0, 4])
        ids = []
        with mock.patch.object(damage, '_BATCH', 2):
            while batch := self.known(ids[-1] if ids else '').images:
                ids += [image.image_id for image in batch]
                self.assertEqual([[0, 4]], batch[0].extents)
        self.assertEqual(sorted(image.id for image in others), ids)

    def test_old_run_learns_nothing(self):
        self.assertFalse(self.known(token=self.spec.token - 1).accepted)
        self.fixture.finish(self.spec)
        self.assertFalse(self.known().accepted)


class TestMissed(DamageTestCase):
    def missed(self, image_ids, token=None):
        token = self.spec.token if token is None else token
        return damage.missed(self.catalog, self.spec.id, token, image_ids)

    def test_available_images_that_were_not_found(self):
        others = [self.fixture.make_image() for _ in range(2)]
        images.delete(self.catalog, others[0].id)
        self.fixture.make_repository('other')
        self.fixture.make_image(repository='other')
        self.fixture.reserve()
        [tree] = self.missed([self.image.id]).trees
        self.assertEqual(others[1].id, tree.image_id)
        self.assertEqual(others[1].size, tree.size)
        self.assertEqual(2, len(self.missed([]).trees))

    def test_old_run_learns_nothing(self):
        self.assertFalse(self.missed([], self.spec.token - 1).accepted)


class TestInherit(DamageTestCase):
    """A backup whose base is found damaged."""

    def begin(self):
        self.next, job = self.fixture.reserve(
            volume_id=self.image.volume_id, size=6 * CHUNK
        )
        return self.fixture.run(job.id)

    def finish(self, spec):
        self.fixture.commit(spec)
        self.fixture.finish(spec, result={})
        self.assertEqual('available', self.fixture.image(self.next.id).state)

    def test_what_was_known_was_not_taken_over(self):
        self.take(self.image.id, [0, CHUNK])
        spec = self.begin()
        self.assertEqual([[0, CHUNK]], spec.base.damaged)
        self.finish(spec)
        self.assertEqual(([], 0), self.damage(self.next))

    def test_what_was_found_meanwhile_may_have_been(self):
        self.take(self.image.id, [0, CHUNK])
        spec = self.begin()
        self.take(self.image.id, [0, 2 * CHUNK], [5 * CHUNK, 4 * CHUNK])
        self.finish(spec)
        self.assertEqual(
            ([[CHUNK, CHUNK], [5 * CHUNK, CHUNK]], 2 * CHUNK),
            self.damage(self.next),
        )

    def test_of_a_base_that_was_deleted_meanwhile(self):
        spec = self.begin()
        images.delete(self.catalog, self.image.id)
        self.take(self.image.id, [CHUNK, CHUNK])
        self.finish(spec)
        self.assertEqual(([[CHUNK, CHUNK]], CHUNK), self.damage(self.next))

    def test_what_the_check_says_of_the_new_image_itself_stays(self):
        spec = self.begin()
        self.take(self.image.id, [CHUNK, CHUNK])
        self.fixture.commit(spec)
        self.take(self.next.id, [0, 1])
        self.finish(spec)
        self.assertEqual(
            ([[0, 1], [CHUNK, CHUNK]], CHUNK + 1), self.damage(self.next)
        )
