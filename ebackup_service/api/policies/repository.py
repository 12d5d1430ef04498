# SPDX-License-Identifier: Apache-2.0
"""Rules for repositories."""

from oslo_policy import policy

from ebackup_service.api.policies import base

LIST = 'ebackup:repository:list'
CREATE = 'ebackup:repository:create'
SHOW = 'ebackup:repository:show'
USAGE = 'ebackup:repository:usage'
COLLECT = 'ebackup:repository:collect'
CHECK = 'ebackup:repository:check'
REBUILD = 'ebackup:repository:rebuild'
DELETE = 'ebackup:repository:delete'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            LIST,
            base.ADMIN,
            'List repositories.',
            [{'method': 'GET', 'path': '/v1/repositories'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            CREATE,
            base.ADMIN,
            'Create a repository.',
            [{'method': 'POST', 'path': '/v1/repositories'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            SHOW,
            base.ADMIN,
            'Show a repository.',
            [{'method': 'GET', 'path': '/v1/repositories/{name}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            USAGE,
            base.ADMIN,
            'Show how much space a repository takes.',
            [{'method': 'GET', 'path': '/v1/repositories/{name}/usage'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            COLLECT,
            base.ADMIN,
            'Give back the space of deleted images.',
            [{'method': 'POST', 'path': '/v1/repositories/{name}/collect'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            CHECK,
            base.ADMIN,
            'Check that a repository is complete and undamaged.',
            [{'method': 'POST', 'path': '/v1/repositories/{name}/check'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            REBUILD,
            base.ADMIN,
            'Let the catalog know again what a repository holds.',
            [{'method': 'POST', 'path': '/v1/repositories/{name}/rebuild'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            DELETE,
            base.ADMIN,
            'Let the catalog forget a repository without images.',
            [{'method': 'DELETE', 'path': '/v1/repositories/{name}'}],
            scope_types=base.SCOPE,
        ),
    ]
