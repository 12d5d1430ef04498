# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import owner
from tests.unit.ebackup_service.repository import base


class OwnerTestCase(base.RepositoryTestCase):
    def claim(self, *args, **kwargs):
        owner.claim(self.storage, *args, **kwargs)

    def check(self, *args):
        owner.check(self.storage, *args)

    def take_over(self, *args):
        return owner.take_over(self.storage, *args)

    def test_new_repository_has_none(self):
        self.assertIsNone(owner.read(self.storage))
        self.assertRaises(errors.ForeignOwner, self.check, 'one', 0)

    def test_first_claim_makes_the_owner(self):
        self.claim('one', 1)

        self.check('one', 1)
        self.assertEqual('one', owner.read(self.storage).service_id)

    def test_claim_is_idempotent(self):
        self.claim('one', 1)
        first = self.storage.read('owner.json')
        self.claim('one', 1)

        self.assertEqual(first, self.storage.read('owner.json'))

    def test_another_service_is_refused(self):
        self.claim('one', 1)

        error = self.assertRaises(errors.ForeignOwner, self.claim, 'two', 9)
        self.assertIn('belongs to service one', str(error))
        self.assertRaises(errors.ForeignOwner, self.check, 'two', 1)
        self.check('one', 1)

    def test_newer_generation_fences_the_older(self):
        self.claim('one', 1)
        self.claim('one', 2)

        self.check('one', 2)
        self.assertRaises(errors.ForeignOwner, self.check, 'one', 1)
        self.assertRaises(errors.ForeignOwner, self.claim, 'one', 1)

    def test_damaged_marker_is_told_and_can_be_taken_over(self):
        self.claim('one', 1)
        self.flip('owner.json', 90)

        self.assertRaises(errors.Corrupt, self.check, 'one', 1)
        self.assertRaises(errors.Corrupt, self.claim, 'one', 1)
        previous, mine = self.take_over('one', 1)
        self.assertIsNone(previous)
        self.check('one', 2)

    def test_damaged_members_are_told(self):
        for content in ({'service_id': 'x'}, {'generation': 1}):
            self.storage.replace('owner.json', document.seal('owner', content))
            self.assertRaises(errors.Corrupt, self.check, 'x', 1)

    def test_of_two_first_claims_one_wins(self):
        # The other one claims between our look and our attempt.
        real = self.storage.create

        def create(key, parts):
            real(key, [owner.Owner('two', 1).to_bytes()])
            real(key, parts)

        with mock.patch.object(self.storage, 'create', create):
            self.assertRaises(errors.ForeignOwner, self.claim, 'one', 1)
        self.check('two', 1)


class TakeOverTestCase(OwnerTestCase):
    def test_owner_is_fenced(self):
        self.claim('one', 5)

        previous, mine = self.take_over('two', 0)

        self.assertEqual(
            ('one', 5), (previous.service_id, previous.generation)
        )
        self.check('two', mine.generation)
        self.assertRaises(errors.ForeignOwner, self.check, 'one', 5)
        self.assertRaises(errors.ForeignOwner, self.claim, 'one', 6)

    def test_repository_that_nobody_owns(self):
        previous, mine = self.take_over('two', 0)

        self.assertIsNone(previous)
        self.check('two', mine.generation)

    def test_generation_is_one_that_the_service_never_had(self):
        """Neither by what it knows, nor by what the repository says."""
        self.claim('one', 5)

        self.assertEqual(6, self.take_over('one', 1)[1].generation)
        self.assertEqual(10, self.take_over('one', 9)[1].generation)

    def test_of_two_copies_of_one_service_the_last_one_wins(self):
        self.claim('one', 1)

        first = self.take_over('one', 1)[1].generation
        second = self.take_over('one', 1)[1].generation

        self.assertRaises(errors.ForeignOwner, self.check, 'one', first)
        self.check('one', second)

    def test_generation_of_another_service_does_not_matter(self):
        self.claim('one', 70)

        self.assertEqual(2, self.take_over('two', 1)[1].generation)
