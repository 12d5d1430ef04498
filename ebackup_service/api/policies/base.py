# SPDX-License-Identifier: Apache-2.0
"""Rules that the others are made of.

Personas are Keystone's: a reader sees what is the own project's, an admin
everything. The role "service" is for the accounts of other services, here of
the backup driver inside cinder-backup: it acts for every project.
"""

from oslo_policy import policy

ADMIN = 'rule:ebackup:admin'
SERVICE = 'rule:ebackup:service'
SERVICE_OR_ADMIN = 'rule:ebackup:service_or_admin'
READER = 'rule:ebackup:reader'

# A system has nothing that an image could belong to.
SCOPE = ['project']


def list_rules() -> list[policy.RuleDefault]:
    return [
        policy.RuleDefault(
            'ebackup:admin', 'role:admin', 'May do what operators do.'
        ),
        policy.RuleDefault(
            'ebackup:service',
            'role:service',
            'The backup driver, acting for any project.',
        ),
        policy.RuleDefault(
            'ebackup:service_or_admin',
            f'{SERVICE} or {ADMIN}',
            'The backup driver or an operator.',
        ),
        policy.RuleDefault(
            'ebackup:reader',
            f'(role:reader and project_id:%(project_id)s) '
            f'or {SERVICE_OR_ADMIN}',
            'May see what belongs to the own project, or everything.',
        ),
    ]
