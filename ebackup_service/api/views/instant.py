# SPDX-License-Identifier: Apache-2.0
"""Instants."""

import datetime


def text(instant: datetime.datetime | None) -> str | None:
    """Return an aware datetime as ISO 8601 with microseconds, in UTC."""
    if instant is None:
        return None
    utc = instant.astimezone(datetime.UTC)
    return utc.strftime('%Y-%m-%dT%H:%M:%S.%fZ')
