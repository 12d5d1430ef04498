# SPDX-License-Identifier: Apache-2.0
"""Backup proxies."""

import argparse

from ebackup_driver.osc import output

_COLUMNS = {
    'Host': 'host',
    'Alive': 'alive',
    'Version': 'version',
    'Jobs': 'jobs',
    'Announced At': 'announced_at',
}


class ListProxies(output.Lister):
    """List backup proxies"""

    def take_action(self, parsed_args: argparse.Namespace) -> output.Table:
        return output.table(_COLUMNS, self.client.proxies())
