# SPDX-License-Identifier: Apache-2.0
"""Runs statements whose effect is a count of rows."""

from typing import Any
from typing import cast

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.sql import dml


def changed(session: orm.Session, statement: dml.Update) -> int:
    """Execute an update; how many rows met its conditions.

    Every database that we use counts rows that match, also those which
    already hold the new values.
    """
    result = session.execute(
        statement, execution_options={'synchronize_session': False}
    )
    return cast('sa.CursorResult[Any]', result).rowcount
