# SPDX-License-Identifier: Apache-2.0
"""Who may do what, one noun a file."""

from oslo_policy import policy

from ebackup_service.api.policies import base
from ebackup_service.api.policies import image
from ebackup_service.api.policies import job
from ebackup_service.api.policies import proxy
from ebackup_service.api.policies import record
from ebackup_service.api.policies import repository
from ebackup_service.api.policies import restore
from ebackup_service.api.policies import storage
from ebackup_service.api.policies import volume

NOUNS = (
    base,
    image,
    record,
    restore,
    volume,
    job,
    repository,
    storage,
    proxy,
)


def list_rules() -> list[policy.RuleDefault]:
    """Return every rule with its default."""
    return [rule for noun in NOUNS for rule in noun.list_rules()]
