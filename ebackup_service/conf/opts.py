# SPDX-License-Identifier: Apache-2.0
"""What the generator of the sample configuration lists."""

from oslo_config import cfg

from ebackup_service import conf


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options of the service by group.

    Those of oslo.log, oslo.messaging, oslo.policy and keystonemiddleware are
    listed by their own entry points; oslo.db's are here, because the default
    of one of them is ours.
    """
    return [entry for group in conf.GROUPS for entry in group.list_opts()]
