# SPDX-License-Identifier: Apache-2.0
"""Ways in which a caller proves who they are, one a file.

Each is a WSGI middleware that leaves a ``context.Context`` in the
environment or answers 401 without saying what was wrong.
"""

from typing import Any

from oslo_config import cfg

from ebackup_service.api.auth import anonymous
from ebackup_service.api.auth import basic
from ebackup_service.api.auth import keystone

STRATEGIES = {
    'keystone': keystone.wrap,
    'http_basic': basic.wrap,
    'none': anonymous.wrap,
}


def wrap(app: Any, conf: cfg.ConfigOpts) -> Any:
    """Put the configured authentication before an application."""
    return STRATEGIES[conf.api.auth_strategy](app, conf)
