# SPDX-License-Identifier: Apache-2.0
"""Rules for volumes."""

from oslo_policy import policy

from ebackup_service.api.policies import base

FORSAKE_ANCHORS = 'ebackup:volume:forsake_anchors'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            FORSAKE_ANCHORS,
            base.SERVICE,
            'Have what storages know of the changes of a volume forgotten.',
            [
                {
                    'method': 'DELETE',
                    'path': '/v1/volumes/{volume_id}/anchors',
                }
            ],
            scope_types=base.SCOPE,
        ),
    ]
