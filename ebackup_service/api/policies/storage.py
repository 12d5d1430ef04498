# SPDX-License-Identifier: Apache-2.0
"""Rules for production storages."""

from oslo_policy import policy

from ebackup_service.api.policies import base

LIST = 'ebackup:storage:list'
CREATE = 'ebackup:storage:create'
SHOW = 'ebackup:storage:show'
UPDATE = 'ebackup:storage:update'
DELETE = 'ebackup:storage:delete'
FORCE_DELETE = 'ebackup:storage:force_delete'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            LIST,
            base.ADMIN,
            'List production storages.',
            [{'method': 'GET', 'path': '/v1/storages'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            CREATE,
            base.ADMIN,
            'Register a production storage.',
            [{'method': 'POST', 'path': '/v1/storages'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            SHOW,
            base.ADMIN,
            'Show a production storage, without its credentials.',
            [{'method': 'GET', 'path': '/v1/storages/{name}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            UPDATE,
            base.ADMIN,
            'Change a production storage.',
            [{'method': 'PATCH', 'path': '/v1/storages/{name}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            DELETE,
            base.ADMIN,
            'Forget a production storage.',
            [{'method': 'DELETE', 'path': '/v1/storages/{name}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            FORCE_DELETE,
            base.ADMIN,
            'Forget a production storage that is gone, with the snapshots of '
            'ours that are recorded there. ebackup:storage:delete is needed '
            'as well.',
            [{'method': 'DELETE', 'path': '/v1/storages/{name}?force=true'}],
            scope_types=base.SCOPE,
        ),
    ]
