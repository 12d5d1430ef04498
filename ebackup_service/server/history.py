# SPDX-License-Identifier: Apache-2.0
"""Forgets jobs that ended long ago."""

from oslo_config import cfg
from oslo_log import log

from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import job as job_rows

LOG = log.getLogger(__name__)

_DAY = 24 * 3600
# Jobs at a time, so that no transaction is long.
_BATCH = 500


@database.retried
def forget(catalog: database.Catalog, conf: cfg.ConfigOpts) -> None:
    """Remove some of those whose time is over; the next call others."""
    days = conf.server.job_retention_days
    if not days:
        return
    age = clock.milliseconds(days * _DAY)
    with catalog.reader() as session:
        old = job_rows.ended(session, age, _BATCH)
    if not old:
        return
    with catalog.writer() as session:
        job_rows.remove(session, old)
    LOG.info('Forgotten: %s jobs that ended %s days ago', len(old), days)
