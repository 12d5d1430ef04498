# SPDX-License-Identifier: Apache-2.0
"""Rules for backup proxies."""

from oslo_policy import policy

from ebackup_service.api.policies import base

LIST = 'ebackup:proxy:list'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            LIST,
            base.ADMIN,
            'List backup proxies.',
            [{'method': 'GET', 'path': '/v1/proxies'}],
            scope_types=base.SCOPE,
        ),
    ]
