# SPDX-License-Identifier: Apache-2.0
"""Backup proxies."""

import argparse

from ebackup_service.api.views import proxy as views
from ebackup_service.cmd.manage import command
from ebackup_service.server import proxies

COLUMNS = ('host', 'version', 'alive', 'jobs', 'announced_at')


def add_to(nouns: command.Nouns) -> None:
    verbs = command.noun(nouns, 'proxy', 'backup proxies')
    command.verb(verbs, 'list', list_proxies, 'list backup proxies')


def list_proxies(context: command.Context, asked: argparse.Namespace) -> int:
    found = [
        views.show(p) for p in proxies.list(context.catalog, context.conf)
    ]
    context.out.many('proxies', found, COLUMNS)
    return 0
