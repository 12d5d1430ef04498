# SPDX-License-Identifier: Apache-2.0
"""Rules for backup images."""

from oslo_policy import policy

from ebackup_service.api.policies import base

LIST = 'ebackup:image:list'
LIST_ALL = 'ebackup:image:list_all_projects'
SHOW = 'ebackup:image:show'
RESERVE = 'ebackup:image:reserve'
UPDATE = 'ebackup:image:update'
DELETE = 'ebackup:image:delete'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            LIST,
            base.READER,
            "List the own project's backup images.",
            [{'method': 'GET', 'path': '/v1/images'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            LIST_ALL,
            base.SERVICE_OR_ADMIN,
            "List other projects' backup images.",
            [{'method': 'GET', 'path': '/v1/images?all_projects=true'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            SHOW,
            base.READER,
            'Show a backup image.',
            [{'method': 'GET', 'path': '/v1/images/{image_id}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            RESERVE,
            base.SERVICE,
            'Reserve a backup image and the job that makes it.',
            [{'method': 'PUT', 'path': '/v1/images/{image_id}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            UPDATE,
            base.ADMIN,
            'Allow to restore what is not damaged of a backup image.',
            [{'method': 'PATCH', 'path': '/v1/images/{image_id}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            DELETE,
            base.SERVICE_OR_ADMIN,
            'Delete a backup image.',
            [{'method': 'DELETE', 'path': '/v1/images/{image_id}'}],
            scope_types=base.SCOPE,
        ),
    ]
