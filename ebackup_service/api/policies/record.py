# SPDX-License-Identifier: Apache-2.0
"""Rules for records, by which an image is exported and imported."""

from oslo_policy import policy

from ebackup_service.api.policies import base

SHOW = 'ebackup:record:show'
IMPORT = 'ebackup:record:import'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            SHOW,
            base.SERVICE_OR_ADMIN,
            'Show what has to be known to import a backup image.',
            [{'method': 'GET', 'path': '/v1/images/{image_id}/record'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            IMPORT,
            base.SERVICE,
            'Confirm that a record is of an image of this project.',
            [{'method': 'PUT', 'path': '/v1/images/{image_id}/record'}],
            scope_types=base.SCOPE,
        ),
    ]
