# SPDX-License-Identifier: Apache-2.0
"""Repositories."""

from typing import Any

from ebackup_service.api.views import instant
from ebackup_service.repository import sample
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import repository as repository_rows


def show(repository: repository_rows.Repository) -> dict[str, Any]:
    return {
        'id': repository.id,
        'name': repository.name,
        'url': repository.public_url,
        'state': repository.state,
        'error': repository.error,
        'created_at': instant.text(repository.created_at),
        'collected_at': instant.text(repository.collected_at),
        'verification': _verification(repository.verification),
    }


def deleted(repository: repository_rows.Repository) -> dict[str, Any]:
    """What it takes to find, or to take over, what the catalog forgot."""
    return {
        'id': repository.id,
        'name': repository.name,
        'url': repository.public_url,
        'state': 'deleted',
        'message': 'What is stored at this URL is as it was: remove it there, '
        'or take the repository over again, by this id.',
    }


def _verification(found: dict[str, Any]) -> dict[str, Any]:
    """How much of this round is done, and what was verified when."""
    times = {
        name: instant.text(clock.instant(found.get(name)))
        for name in ('began', 'complete', 'last')
    }
    return {
        'percent': 100 * found.get('position', 0) // sample.RING,
        'round_began_at': times['began'],
        'complete_since': times['complete'],
        'verified_at': times['last'],
    }


def usage(figures: dict[str, Any]) -> dict[str, Any]:
    return {**figures, 'measured_at': instant.text(figures['measured_at'])}
