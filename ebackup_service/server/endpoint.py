# SPDX-License-Identifier: Apache-2.0
"""What a server answers to proxies and to the API; ``rpc.clients`` asks."""

from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from ebackup_service.rpc import damage as damage_found
from ebackup_service.rpc import findings as found
from ebackup_service.rpc import listeners
from ebackup_service.rpc import messages
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import proxy as proxy_rows
from ebackup_service.server import collection
from ebackup_service.server import damage
from ebackup_service.server import leases
from ebackup_service.server import outcomes
from ebackup_service.server import rebuild
from ebackup_service.server import refusals
from ebackup_service.server import snapshots

Context = dict[str, Any]


class ServerEndpoint:
    """Called by the listener's threads, several at a time."""

    target = listeners.VERSION

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        catalog: database.Catalog,
        wake: Callable[[], None],
    ) -> None:
        self._conf = conf
        self._catalog = catalog
        self._wake = wake

    @listeners.answered
    def announce(
        self,
        context: Context,
        host: str,
        version: str,
        capabilities: dict[str, Any],
    ) -> None:
        _announce(self._catalog, host, version, capabilities)

    @listeners.answered
    def renew(
        self,
        context: Context,
        job_id: str,
        token: int,
        progress: dict[str, Any],
    ) -> dict[str, Any]:
        return leases.renew(
            self._catalog,
            self._conf,
            job_id,
            token,
            progress,
        ).to_dict()

    @listeners.answered
    def commit_image(
        self,
        context: Context,
        job_id: str,
        token: int,
        root: dict[str, Any],
    ) -> dict[str, Any]:
        commit = messages.Commit.from_dict(root)
        return outcomes.commit_image(
            self._catalog, job_id, token, commit
        ).to_dict()

    @listeners.answered
    def checkpoint(
        self,
        context: Context,
        job_id: str,
        token: int,
        checkpoint: dict[str, Any],
    ) -> dict[str, Any]:
        return outcomes.checkpoint(
            self._catalog,
            job_id,
            token,
            messages.Checkpoint.from_dict(checkpoint),
        ).to_dict()

    @listeners.answered
    def plan_snapshot(
        self, context: Context, job_id: str, token: int, lun: str
    ) -> dict[str, Any]:
        return snapshots.plan(self._catalog, job_id, token, lun).to_dict()

    @listeners.answered
    def snapshot_taken(
        self,
        context: Context,
        job_id: str,
        token: int,
        name: str,
        snapshot_id: str,
    ) -> dict[str, Any]:
        return snapshots.taken(
            self._catalog, job_id, token, name, snapshot_id
        ).to_dict()

    @listeners.answered
    def finish(
        self,
        context: Context,
        job_id: str,
        token: int,
        outcome: dict[str, Any],
    ) -> dict[str, Any]:
        decision = outcomes.finish(
            self._catalog,
            self._conf,
            job_id,
            token,
            messages.Outcome.from_dict(outcome),
        )
        self._wake()
        return decision.to_dict()

    @listeners.answered
    def live(
        self,
        context: Context,
        job_id: str,
        token: int,
        image_ids: list[str],
    ) -> dict[str, Any]:
        return collection.live(
            self._catalog, job_id, token, image_ids
        ).to_dict()

    @listeners.answered
    def take_findings(
        self,
        context: Context,
        job_id: str,
        token: int,
        findings: dict[str, Any],
    ) -> dict[str, Any]:
        return rebuild.take(
            self._catalog,
            self._conf,
            job_id,
            token,
            found.Findings.from_dict(findings),
        ).to_dict()

    @listeners.answered
    def known_images(
        self, context: Context, job_id: str, token: int, after: str
    ) -> dict[str, Any]:
        return rebuild.known(self._catalog, job_id, token, after).to_dict()

    @listeners.answered
    def take_damage(
        self, context: Context, job_id: str, token: int, report: dict[str, Any]
    ) -> dict[str, Any]:
        return damage.take(
            self._catalog,
            job_id,
            token,
            damage_found.Report.from_dict(report),
        ).to_dict()

    @listeners.answered
    def known_damage(
        self, context: Context, job_id: str, token: int, after: str
    ) -> dict[str, Any]:
        return damage.known(self._catalog, job_id, token, after).to_dict()

    @listeners.answered
    def pinned_bases(
        self, context: Context, job_id: str, token: int
    ) -> dict[str, Any]:
        return damage.bases(self._catalog, job_id, token).to_dict()

    @listeners.answered
    def missed_images(
        self, context: Context, job_id: str, token: int, image_ids: list[str]
    ) -> dict[str, Any]:
        return damage.missed(self._catalog, job_id, token, image_ids).to_dict()

    def wake(self, context: Context) -> None:
        self._wake()


@database.retried
def _announce(
    catalog: database.Catalog,
    host: str,
    version: str,
    capabilities: dict[str, Any],
) -> None:
    with catalog.writer() as session:
        proxy_rows.announce(session, host, version, capabilities)
        if capabilities.get('stopping'):
            refusals.stopped(session, host)
