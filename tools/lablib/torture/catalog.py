# SPDX-License-Identifier: Apache-2.0
"""What eBackup knows of its snapshots, which no API tells."""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import sqlite3

from lablib import lab as lab_module

# Seconds that the service may keep others from its database.
_PATIENCE = 30.0
ANCHOR = 'anchor'


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """id: what the storage calls it; None while it may not exist."""

    volume_id: str
    name: str
    id: str | None
    state: str


def snapshots(lab: lab_module.Lab) -> list[Snapshot]:
    with _opened(lab) as catalog:
        rows = catalog.execute(
            'SELECT volume, name, snapshot_id, state FROM snapshots'
        ).fetchall()
    return [Snapshot(json.loads(row[0])['id'], *row[1:]) for row in rows]


def let_an_hour_pass(lab: lab_module.Lab) -> None:
    """Let nothing condemned be waited for any longer.

    Snapshots that somebody may yet take are, and those that could not be
    removed at once.
    """
    with _opened(lab) as catalog:
        catalog.execute(
            "UPDATE snapshots SET release_after = 0 WHERE state = 'condemned'"
        )


@contextlib.contextmanager
def _opened(lab: lab_module.Lab) -> Iterator[sqlite3.Connection]:
    """Open the catalog of a lab on sqlite, for one transaction."""
    path = lab.state / 'ebackup/ebackup.sqlite'
    with contextlib.closing(sqlite3.connect(path, _PATIENCE)) as catalog:
        with catalog:
            yield catalog
