# SPDX-License-Identifier: Apache-2.0

import dataclasses

from ebackup_service.proxy import errors
from ebackup_service.proxy import repositories
from ebackup_service.repository import errors as repository_errors
from ebackup_service.rpc import messages
from ebackup_service.server import repositories as server_repositories
from tests import base
from tests.unit.ebackup_service import proxy_fixture


class TestOpened(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.fixture.create_repository()
        job = server_repositories.collect(self.fixture.catalog, 'default')
        self.spec = self.fixture.spec(job.id).repository

    def refused(self, error, **values):
        spec = dataclasses.replace(self.spec, **values)
        found = self.assertRaises(error, self.open, spec)
        self.assertIs(error, type(found))
        return found

    def open(self, spec):
        with repositories.opened(spec):
            pass

    def test_right_one_opens(self):
        with repositories.opened(self.spec) as repo:
            self.assertEqual(self.spec.id, repo.id)

    def test_another_one_in_its_place_is_refused(self):
        self.refused(
            repository_errors.RepositoryMismatch,
            id='00000000-0000-4000-8000-000000000000',
        )

    def test_another_services_repository_is_refused(self):
        self.refused(
            repository_errors.ForeignOwner,
            owner=messages.Owner('somebody else', 1),
        )

    def test_repository_that_was_taken_over_is_refused(self):
        self.fixture.open_repository().take_over(
            self.spec.owner.service_id, self.spec.owner.generation
        )
        self.refused(repository_errors.ForeignOwner)

    def test_place_that_is_not_mounted_is_refused(self):
        error = self.refused(
            repository_errors.StorageUnavailable, url='file:///no/such/place'
        )
        self.assertIn('missing or no directory: /no/such/place;', str(error))

    def test_floor(self):
        with repositories.opened(self.spec) as repo:
            repositories.check_floor(repo, self.spec)
            spec = dataclasses.replace(self.spec, minimum_free=2**62)
            error = self.assertRaises(
                errors.RepositoryFull, repositories.check_floor, repo, spec
            )
        self.assertIn(str(2**62), str(error))
        self.assertIn('minimum_free', str(error))

    def test_room(self):
        with repositories.opened(self.spec) as repo:
            room = repositories.room(repo)
        self.assertGreaterEqual(room['total'], room['free'])

    def test_tree_without_page_is_all_holes(self):
        with repositories.opened(self.spec) as repo:
            spec = messages.TreeSpec('i', None, 65536, 65536)
            self.assertEqual([], [*repositories.tree(repo, spec).leaves()])
