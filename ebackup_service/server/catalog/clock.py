# SPDX-License-Identifier: Apache-2.0
"""The database's clock, the only one that leases are measured by.

Instants are whole milliseconds since 1970-01-01 UTC in a BIGINT: the same on
every database, free of time zones, and compared and added to as numbers.
"""

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import compiler
from sqlalchemy import orm
from sqlalchemy.sql import expression


class now(expression.FunctionElement[int]):  # named as in SQL
    """The instant at which the database evaluates the statement."""

    type = sa.BigInteger()
    inherit_cache = True


# MySQL's and PostgreSQL's now() stand still for a whole transaction or
# depend on the session's time zone; these do neither.
@compiler.compiles(now, 'sqlite')
def _sqlite(element: now, compiler: Any, **kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiler.compiles(now, 'mysql')
@compiler.compiles(now, 'mariadb')
def _mysql(element: now, compiler: Any, **kw: Any) -> str:
    return (
        "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)"
    )


@compiler.compiles(now, 'postgresql')
def _postgresql(element: now, compiler: Any, **kw: Any) -> str:
    return 'CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)'


def read(session: orm.Session, latest: int | None = None) -> int:
    """The database's clock now, in milliseconds; at most ``latest``."""
    shown = int(session.execute(sa.select(now())).scalar_one())
    return shown if latest is None else min(shown, latest)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def instant(value: int | None) -> datetime.datetime | None:
    """A column's value as an aware datetime in UTC."""
    if value is None:
        return None
    return datetime.datetime.fromtimestamp(value / 1000, datetime.UTC)


def to_milliseconds(value: datetime.datetime) -> int:
    """What ``instant`` made of a column's value, as that value again."""
    return round(value.timestamp() * 1000)
