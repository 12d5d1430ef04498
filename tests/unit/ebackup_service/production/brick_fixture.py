# SPDX-License-Identifier: Apache-2.0
"""os-brick has options that are global to the process."""

import fixtures
from os_brick import opts  # noqa: F401 registers them
from os_brick import privileged  # noqa: F401 registers others
from oslo_config import cfg


class GlobalOptions(fixtures.Fixture):
    """Are what they were again, after the test."""

    def _setUp(self):
        for group, name in (
            ('privsep_osbrick', 'helper_command'),
            ('os_brick', 'lock_path'),
        ):
            self.addCleanup(cfg.CONF.clear_override, name, group)
