# SPDX-License-Identifier: Apache-2.0
from oslo_policy import opts
from oslo_policy import policy as oslo_policy

from ebackup_service.api import context
from ebackup_service.api.policies import image
from ebackup_service.api import policy
from tests.unit.ebackup_service.api import base


class PolicyTest(base.CatalogTestCase):
    def _allows(self, rule, roles, project_id=base.OWN, **caller):
        caller = {'project_id': base.OWN, 'roles': roles} | caller
        return policy.Policy(self.conf).allows(
            context.Context(**caller), rule, project_id
        )

    def test_reader_is_confined_to_the_own_project(self):
        self.assertTrue(self._allows(image.SHOW, ['reader']))
        self.assertFalse(self._allows(image.SHOW, ['reader'], base.OTHER))
        self.assertFalse(self._allows(image.SHOW, ['reader'], None))

    def test_service_and_admin_are_not(self):
        for role in ('service', 'admin'):
            self.assertTrue(self._allows(image.SHOW, [role], base.OTHER))

    def test_token_of_a_system_or_a_domain_is_no_project(self):
        for scope in ({'system_scope': 'all'}, {'domain_id': 'd'}):
            self.assertFalse(
                self._allows(image.SHOW, ['admin'], project_id='p', **scope)
            )

    def _overridden(self, text):
        path = f'{self.directory}/policy.yaml'
        with open(path, 'w') as rules:
            rules.write(text)
        opts.set_defaults(self.conf, policy_file=path)

    def test_operator_overrides_a_rule(self):
        self._overridden('"ebackup:image:show": "role:auditor"\n')
        self.assertTrue(self._allows(image.SHOW, ['auditor'], base.OTHER))
        self.assertFalse(self._allows(image.SHOW, ['reader']))

    def test_broken_file_is_noticed_at_the_start(self):
        self._overridden('"ebackup:image:show": [\n')
        self.assertRaises(ValueError, policy.Policy, self.conf)


class EnforcerTest(base.CatalogTestCase):
    def test_command_line_tools_get_every_rule(self):
        enforcer = policy.get_enforcer()
        self.assertIsInstance(enforcer, oslo_policy.Enforcer)
        self.assertIn(image.SHOW, enforcer.registered_rules)
