# SPDX-License-Identifier: Apache-2.0
"""Rules for restores."""

from oslo_policy import policy

from ebackup_service.api.policies import base

RESERVE = 'ebackup:restore:reserve'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            RESERVE,
            base.SERVICE,
            'Reserve a job that restores a backup image to a volume.',
            [{'method': 'PUT', 'path': '/v1/restores/{job_id}'}],
            scope_types=base.SCOPE,
        ),
    ]
