# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.api import context
from ebackup_service.api import errors
from ebackup_service.api.policies import image
from ebackup_service.api.policies import job
from ebackup_service.api import policy
from ebackup_service.api import request
from ebackup_service.api import waits
from tests.unit.ebackup_service.api import base


class RequestTest(base.CatalogTestCase):
    def _request(self, roles, project_id=base.OWN, notify=int):
        req = request.Request.blank('/')
        req.environ[request.SERVICES_KEY] = request.Services(
            *(self.conf, self.catalog, policy.Policy(self.conf), notify, int),
            waits.Waits(0),
        )
        context.enter(req.environ, roles=roles, project_id=project_id)
        return req

    def test_reader_is_confined_to_the_own_project(self):
        req = self._request(['reader'])
        self.assertEqual(base.OWN, req.confined_to(image.SHOW))

    def test_admin_and_service_are_not_confined(self):
        for role in ('admin', 'service'):
            req = self._request([role])
            self.assertIsNone(req.confined_to(image.SHOW))

    def test_no_rule_is_forbidden(self):
        req = self._request(['reader'])
        self.assertRaises(errors.Forbidden, req.confined_to, job.CANCEL)

    def test_reader_without_a_project_is_forbidden(self):
        req = self._request(['reader'], None)
        self.assertRaises(errors.Forbidden, req.confined_to, image.SHOW)
        self.assertRaises(
            errors.Forbidden, req.authorize_listing, image.LIST_ALL, {}
        )

    def test_listing_of_everything_needs_its_own_rule(self):
        req = self._request(['reader'])
        req.authorize_listing(image.LIST_ALL, {'project_id': base.OWN})
        for project_id in (None, base.OTHER):
            self.assertRaises(
                errors.Forbidden,
                req.authorize_listing,
                image.LIST_ALL,
                {'project_id': project_id},
            )

    def test_server_that_cannot_be_woken_is_no_error(self):
        def fail():
            raise OSError('bus is down')

        log = self.useFixture(fixtures.FakeLogger())
        self._request(['service'], notify=fail).notify()
        self.assertIn('bus is down', log.output)

    def test_limit_is_bounded_by_the_option(self):
        req = self._request(['reader'])
        self.assertEqual({'limit': 1000}, req.paged({}))
        self.assertEqual({'limit': 1000}, req.paged({'limit': 2000}))
        self.assertEqual({'limit': 5, 'a': 1}, req.paged({'limit': 5, 'a': 1}))
