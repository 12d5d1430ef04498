# SPDX-License-Identifier: Apache-2.0
"""Rules for jobs."""

from oslo_policy import policy

from ebackup_service.api.policies import base

LIST = 'ebackup:job:list'
LIST_ALL = 'ebackup:job:list_all_projects'
SHOW = 'ebackup:job:show'
ATTACH = 'ebackup:job:attach'
DETACH = 'ebackup:job:detach'
HEARTBEAT = 'ebackup:job:heartbeat'
CANCEL = 'ebackup:job:cancel'


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            LIST,
            base.READER,
            "List the own project's jobs.",
            [{'method': 'GET', 'path': '/v1/jobs'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            LIST_ALL,
            base.SERVICE_OR_ADMIN,
            "List all jobs, other projects' and the service's own too.",
            [{'method': 'GET', 'path': '/v1/jobs'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            SHOW,
            base.READER,
            'Show a job and its progress.',
            [{'method': 'GET', 'path': '/v1/jobs/{job_id}'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            ATTACH,
            base.SERVICE,
            "Say where a job's volume can be reached. Whoever may do this "
            'can have any disk below [proxy]attached_roots read or written, '
            'and have proxies connect to any storage that they reach.',
            [{'method': 'PUT', 'path': '/v1/jobs/{job_id}/attachment'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            DETACH,
            base.SERVICE,
            "Ask what Cinder may still export for an ended job's proxies, to "
            'end it, and say that it is exported no more.',
            [
                {'method': 'POST', 'path': '/v1/jobs/{job_id}/detach'},
                {'method': 'DELETE', 'path': '/v1/jobs/{job_id}/attachment'},
            ],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            HEARTBEAT,
            base.SERVICE,
            'Say that the job is still wanted.',
            [{'method': 'POST', 'path': '/v1/jobs/{job_id}/heartbeat'}],
            scope_types=base.SCOPE,
        ),
        policy.DocumentedRuleDefault(
            CANCEL,
            base.SERVICE_OR_ADMIN,
            'Cancel a job.',
            [{'method': 'POST', 'path': '/v1/jobs/{job_id}/cancel'}],
            scope_types=base.SCOPE,
        ),
    ]
