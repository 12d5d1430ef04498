# SPDX-License-Identifier: Apache-2.0
"""Decides by oslo.policy whether a caller may do something."""

import logging

from oslo_config import cfg
from oslo_policy import policy

from ebackup_service.api import context
from ebackup_service.api import policies

LOG = logging.getLogger(__name__)


class Policy:
    """The rules in force: defaults, and what the operator's file overrides.

    Shared by all request threads; oslo.policy reloads a changed file.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.register_defaults(policies.list_rules())
        # A file that cannot be read has to be noticed at the start, not by
        # the first caller.
        self._enforcer.load_rules()

    def allows(
        self, caller: context.Context, rule: str, project_id: str | None
    ) -> bool:
        """Tell whether the rule holds for an object of this project."""
        try:
            return bool(
                self._enforcer.authorize(
                    rule, {'project_id': project_id}, caller, do_raise=True
                )
            )
        except (policy.PolicyNotAuthorized, policy.InvalidScope) as error:
            LOG.debug('%s', error)
            return False


def get_enforcer() -> policy.Enforcer:
    """Return the enforcer that oslo.policy's command line tools work on.

    They find it by the entry point oslo.policy.enforcer; its configuration is
    what is found in the usual places: /etc/ebackup/ebackup.conf.
    """
    conf = cfg.ConfigOpts()
    conf([], project='ebackup')
    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(policies.list_rules())
    return enforcer
