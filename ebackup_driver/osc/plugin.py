# SPDX-License-Identifier: Apache-2.0
"""What OpenStackClient looks for in a plugin."""

import argparse
from typing import Any

from keystoneauth1 import adapter
from osc_lib import utils

from ebackup_driver import client
from ebackup_driver import opts

API_NAME = 'ebackup'
API_VERSION_OPTION = 'os_ebackup_api_version'
API_VERSIONS = {'1': 'ebackup_driver.client.Client'}
DEFAULT_API_VERSION = '1'

# The endpoint of one service can be set in clouds.yaml, by this name.
_OVERRIDE = f'{opts.SERVICE_TYPE.replace("-", "_")}_endpoint_override'


def make_client(instance: Any) -> client.Client:
    """Return the client for the cloud that the command line names.

    With --os-auth-type none or http_basic, --os-endpoint is the service's.
    """
    http = adapter.Adapter(
        session=instance.session,
        auth=instance.auth,
        service_type=opts.SERVICE_TYPE,
        interface=instance.interface or 'public',
        region_name=instance.region_name,
        endpoint_override=instance.get_configuration().get(_OVERRIDE),
        client_name='ebackup-cli',
    )
    return client.Client(http)


def build_option_parser(
    parser: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    parser.add_argument(
        '--os-ebackup-api-version',
        metavar='<ebackup-api-version>',
        default=utils.env('OS_EBACKUP_API_VERSION') or DEFAULT_API_VERSION,
        help=f'eBackup API version, default={DEFAULT_API_VERSION} '
        '(Env: OS_EBACKUP_API_VERSION)',
    )
    return parser
