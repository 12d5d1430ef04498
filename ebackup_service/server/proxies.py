# SPDX-License-Identifier: Apache-2.0
"""The proxies that have announced themselves."""

import builtins
import dataclasses

from oslo_config import cfg

from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import proxy as proxy_rows


@dataclasses.dataclass(frozen=True)
class Status:
    proxy: proxy_rows.Proxy
    alive: bool
    jobs: builtins.list[str]  # ids of those it runs


def list(
    catalog: database.Catalog, conf: cfg.ConfigOpts
) -> builtins.list[Status]:
    with catalog.reader() as session:
        proxies = proxy_rows.every(session)
        running = job_rows.unfinished(session, state=job_rows.RUNNING)
    return [
        Status(
            proxy=proxy,
            alive=proxy.age < conf.server.proxy_timeout,
            jobs=[job.id for job in running if job.proxy == proxy.host],
        )
        for proxy in proxies
    ]
