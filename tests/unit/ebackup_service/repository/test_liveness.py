# SPDX-License-Identifier: Apache-2.0
import dataclasses

from ebackup_service.repository import account
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import liveness
from ebackup_service.repository import marking
from ebackup_service.repository import survey
from tests import base
from tests.unit.ebackup_service.repository import base as repository_base

SUMMARY = survey.Summary(('p', 'v', 1), 1, None, 0, 65536)
PIN = (None, 0, 65536)


def image(image_id='i', session_id='s', **changes):
    """One that counts."""
    found = survey.Image(image_id, True, False, session_id, SUMMARY)
    return dataclasses.replace(found, **changes)


def by_id(*images):
    return {each.id: each for each in images}


def answer(dead=(), sessions=(), **more):
    return liveness.Live(set(dead), [], set(sessions), **more)


class NeededTest(base.BaseTestCase):
    def needed(self, found, later=(), said=None):
        entries = liveness.needed(
            by_id(*found), by_id(*later), said or answer()
        )
        return [entry.image_id for entry in entries]

    def test_what_counts_and_is_not_dead(self):
        found = image('a'), image('b'), image('c', marked=False)
        self.assertEqual(['a'], self.needed(found, (), answer(dead=['b'])))

    def test_what_counts_and_failed_uncommitted_stops_it(self):
        said = answer(dead=['i'], uncommitted={'i'})
        for found, later in (
            ([image()], []),
            ([image(marked=False)], [image()]),
            ([image(found=errors.Corrupt('root', 'x', 'torn'))], []),
        ):
            error = self.assertRaises(
                errors.CatalogOutdated, self.needed, found, later, said
            )
            self.assertIn('Image i was committed', str(error))

    def test_what_failed_uncommitted_and_does_not_count(self):
        said = answer(dead=['i'], uncommitted={'i'})
        gone = image(deleted=True)
        for found, later in (
            ([image(marked=False)], []),
            ([image(marked=False)], [gone]),
            ([gone], []),
        ):
            self.assertEqual([], self.needed(found, later, said))

    def test_entry_names_image_and_session(self):
        [entry] = liveness.needed(by_id(image()), {}, answer())
        self.assertEqual(account.Entry('i', 's', SUMMARY), entry)

    def test_what_has_got_its_marker_since(self):
        found = image(marked=False)
        self.assertEqual(['i'], self.needed([found], [image()]))

    def test_what_came_after_the_answer(self):
        self.assertEqual(['new'], self.needed([], [image('new')]))

    def test_what_was_deleted_after_the_answer_may_be_a_base(self):
        gone = image(deleted=True)
        self.assertEqual(['i'], self.needed([image()], [gone]))

    def test_what_was_deleted_before_it_is_none(self):
        gone = image(deleted=True)
        self.assertEqual([], self.needed([gone], [gone]))

    def test_damaged_root_can_not_be_told(self):
        found = image(found=errors.Corrupt('root', 'x', 'torn'))
        self.assertRaises(errors.Corrupt, self.needed, [found])


class OwnersTest(base.BaseTestCase):
    def test_image_that_is_there_owns_its_pin(self):
        said = answer(pinned={'gone': PIN, 'i': PIN}, missed={'gone'})
        self.assertEqual(
            {PIN: marking.Owner('i', False)},
            liveness.owners(said, by_id(image())),
        )

    def test_pin_of_an_image_that_is_not_there(self):
        said = answer(pinned={'gone': PIN}, missed={'gone'})
        self.assertEqual(
            {PIN: marking.Owner('gone', True)}, liveness.owners(said, {})
        )

    def test_pin_that_a_job_needs_is_not_missed(self):
        said = answer(pinned={'gone': PIN})
        self.assertEqual(
            {PIN: marking.Owner('gone', False)}, liveness.owners(said, {})
        )


class RemoveTest(repository_base.RepositoryTestCase):
    def stored(self, mark=False):
        made = self.backup(b'x') if mark else self.store(b'x')
        return self.surveyed(made.id)

    def surveyed(self, image_id):
        storage = self.repo.storage
        return survey.survey(storage, repository_base.nothing_to_check)[
            image_id
        ]

    def remove(self, found, said):
        return liveness.remove(self.repo, found, said)

    def is_left(self, found):
        return found.id in images.listing(self.repo.storage)

    def test_dead_one_gets_a_tombstone(self):
        found = self.stored(mark=True)
        self.assertEqual(1, self.remove(found, answer(dead=[found.id])))
        self.assertFalse(self.is_left(found))
        self.assertTrue(images.is_deleted(self.repo.storage, found.id))

    def test_failed_one_is_removed_without(self):
        found = self.stored()
        said = answer(dead=[found.id], uncommitted={found.id})
        self.assertEqual(1, self.remove(found, said))
        self.assertFalse(self.is_left(found))

    def test_failed_one_that_was_committed_since_stays(self):
        found = self.stored()
        images.mark(self.repo.storage, found.id)
        said = answer(dead=[found.id], uncommitted={found.id})
        error = self.assertRaises(
            errors.CatalogOutdated, self.remove, found, said
        )
        self.assertLess(len(str(error)), 255)
        self.assertTrue(self.is_left(found))

    def test_what_nobody_committed_is_removed_without(self):
        found = self.stored()
        self.assertEqual(1, self.remove(found, answer()))
        self.assertFalse(self.is_left(found))
        self.assertFalse(images.is_deleted(self.repo.storage, found.id))

    def test_what_a_session_may_yet_commit_stays(self):
        found = self.stored()
        said = answer(sessions=[found.session_id])
        self.assertEqual(0, self.remove(found, said))
        self.assertTrue(self.is_left(found))

    def test_what_somebody_else_committed_stays(self):
        found = self.stored()
        images.mark(self.repo.storage, found.id)
        self.assertRaises(errors.ForeignOwner, self.remove, found, answer())
        self.assertTrue(self.is_left(found))
