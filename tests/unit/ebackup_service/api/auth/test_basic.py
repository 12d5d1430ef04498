# SPDX-License-Identifier: Apache-2.0
import base64
import os

import bcrypt
import fixtures
from oslo_middleware import basic_auth

from ebackup_service.api import deploy
from ebackup_service.api import errors
from tests.unit.ebackup_service.api import base

PASSWORDS = {'root': 'r00t', 'cinder': 'c1nder', 'ann': 'pässwort'}


def entry(user, password):
    digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4))
    return f'{user}:{digest.decode()}\n'


class BasicTestCase(base.CatalogTestCase):
    def setUp(self):
        super().setUp()
        self.users = os.path.join(self.directory, 'users')
        self.write(PASSWORDS)
        for name, value in (
            ('users_file', self.users),
            ('admin_users', ['root']),
            ('service_users', ['cinder']),
            ('project_id', 'home'),
        ):
            self.conf.set_override(name, value, group='http_basic')
        self.conf.set_override('auth_strategy', 'http_basic', group='api')
        self.app = deploy.application(self.conf, self.catalog, int, int)

    def write(self, passwords):
        with open(self.users, 'w') as out:
            out.writelines(entry(*item) for item in passwords.items())

    def get(self, user, password, path='/v1/images', **headers):
        pair = base64.b64encode(f'{user}:{password}'.encode()).decode()
        return self.get_with(f'Basic {pair}', path, **headers)

    def get_with(self, authorization, path='/v1/images', **headers):
        if authorization is not None:
            headers['Authorization'] = authorization
        req = base.webob.Request.blank(path, headers=headers)
        return req.get_response(self.app)


class PasswordTest(BasicTestCase):
    def test_right_password(self):
        for user, password in PASSWORDS.items():
            self.assertEqual(200, self.get(user, password).status_int)

    def test_whatever_is_wrong_the_answer_is_the_same(self):
        pair = base64.b64encode(b'no colon').decode()
        refused = [
            self.get('root', 'wrong'),
            self.get('root', ''),
            self.get('root', 'x' * 100),
            self.get('unknown', 'r00t'),
            self.get('', 'r00t'),
            self.get('ro', 'r00t'),
            self.get_with(None),
            self.get_with('Basic'),
            self.get_with('Basic ???'),
            self.get_with(f'Basic {pair}'),
            self.get_with('Bearer r00t'),
        ]
        for response in refused:
            self.assertEqual(401, response.status_int)
            self.assertEqual(refused[0].json, response.json)
            self.assertIn('Basic', response.headers['WWW-Authenticate'])

    def test_nothing_of_a_password_is_logged(self):
        log = self.useFixture(fixtures.FakeLogger(level=0))
        self.get('root', 'r00t')
        self.get('root', 'wr0ng-password')
        self.get_with('Basic cjAwdA==')
        for secret in ('r00t', 'wr0ng', 'cjAwdA'):
            self.assertNotIn(secret, log.output)

    def test_password_proven_once_costs_no_second_bcrypt(self):
        self.get('root', 'r00t')
        checked = self.useFixture(
            fixtures.MockPatchObject(basic_auth, 'auth_entry')
        ).mock
        self.assertEqual(200, self.get('root', 'r00t').status_int)
        checked.assert_not_called()

    def test_wrong_password_after_the_right_one(self):
        self.assertEqual(200, self.get('root', 'r00t').status_int)
        self.assertEqual(401, self.get('root', 'r00T').status_int)

    def test_change_of_the_file_takes_effect_at_once(self):
        self.assertEqual(200, self.get('root', 'r00t').status_int)
        self.write({'root': 'changed'})
        self.assertEqual(401, self.get('root', 'r00t').status_int)
        self.assertEqual(200, self.get('root', 'changed').status_int)
        self.write({'ann': 'x'})
        self.assertEqual(401, self.get('root', 'changed').status_int)

    def test_unreadable_file_lets_nobody_in(self):
        self.assertEqual(200, self.get('root', 'r00t').status_int)
        os.unlink(self.users)
        self.assertEqual(401, self.get('root', 'r00t').status_int)

    def test_proofs_are_bounded(self):
        self.useFixture(
            fixtures.MonkeyPatch('ebackup_service.api.auth.basic.MAX_KNOWN', 2)
        )
        for _ in range(2):
            for user, password in PASSWORDS.items():
                self.assertEqual(200, self.get(user, password).status_int)


class RoleTest(BasicTestCase):
    def _status(self, user, path, **headers):
        return self.get(user, PASSWORDS[user], path, **headers).status_int

    def test_roles_follow_from_the_lists(self):
        everything = '/v1/images?all_projects=true'
        self.assertEqual(200, self._status('root', '/v1/repositories'))
        self.assertEqual(403, self._status('cinder', '/v1/repositories'))
        self.assertEqual(200, self._status('cinder', everything))
        self.assertEqual(403, self._status('ann', '/v1/repositories'))
        self.assertEqual(403, self._status('ann', everything))

    def test_users_act_in_the_configured_project(self):
        own = '/v1/images?project_id=home'
        self.assertEqual(200, self._status('ann', own))

    def test_headers_of_the_caller_add_nothing(self):
        forged = {
            'X-Roles': 'admin',
            'X-Project-Id': 'other',
            'X-Identity-Status': 'Confirmed',
        }
        status = self._status('ann', '/v1/repositories', **forged)
        self.assertEqual(403, status)
        other = '/v1/images?project_id=other'
        self.assertEqual(403, self._status('ann', other, **forged))


class MisconfiguredTest(BasicTestCase):
    def _start(self):
        error = self.assertRaises(
            errors.Misconfigured,
            deploy.application,
            self.conf,
            self.catalog,
            int,
            int,
        )
        self.assertIn(self.users, str(error))
        self.assertIn('bcrypt', str(error))

    def test_missing_file_is_noticed_at_the_start(self):
        os.unlink(self.users)
        self._start()

    def test_other_digest_is_noticed_at_the_start(self):
        with open(self.users, 'w') as out:
            out.write('root:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n')
        self._start()

    def test_other_digest_later_lets_nobody_in(self):
        with open(self.users, 'w') as out:
            out.write('root:r00t\n')
        self.assertEqual(401, self.get('root', 'r00t').status_int)
