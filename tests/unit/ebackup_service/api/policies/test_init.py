# SPDX-License-Identifier: Apache-2.0
from oslo_policy import policy

from ebackup_service.api import policies
from ebackup_service.api import routes
from tests import base


class ListRulesTest(base.BaseTestCase):
    def _documented(self):
        return [
            rule
            for rule in policies.list_rules()
            if isinstance(rule, policy.DocumentedRuleDefault)
        ]

    def test_names_are_unique(self):
        names = [rule.name for rule in policies.list_rules()]
        self.assertEqual(len(set(names)), len(names))

    def test_every_operation_is_a_route_and_every_route_has_a_rule(self):
        operations = {
            (operation['method'], operation['path'].partition('?')[0])
            for rule in self._documented()
            for operation in rule.operations
        }
        declared = {
            (method, path)
            for path, methods in routes.ROUTES.items()
            for method in methods
        }
        self.assertEqual(declared, operations)

    def test_every_operation_is_for_tokens_of_a_project(self):
        for rule in self._documented():
            self.assertEqual(['project'], rule.scope_types)
