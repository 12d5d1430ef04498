# SPDX-License-Identifier: Apache-2.0
"""The proxies that have announced themselves."""

import builtins
import dataclasses

from oslo_config import cfg
from sqlalchemy import orm

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
            alive=_is_alive(proxy, conf),
            jobs=[job.id for job in running if job.proxy == proxy.host],
        )
        for proxy in proxies
    ]


def any_alive(session: orm.Session, conf: cfg.ConfigOpts) -> bool:
    """Whether some proxy is there that could have a job."""
    return any(
        _is_alive(proxy, conf) and proxy.understood
        for proxy in proxy_rows.every(session)
    )


def _is_alive(proxy: proxy_rows.Proxy, conf: cfg.ConfigOpts) -> bool:
    return proxy.age < conf.server.proxy_timeout
