# SPDX-License-Identifier: Apache-2.0
"""A database's clock that a test sets."""

import time
from typing import Any

import fixtures
import sqlalchemy as sa

from ebackup_service.server.catalog import database


class DatabaseClock(fixtures.Fixture):
    """The clock of a catalog on sqlite.

    :ivar ahead: seconds; what a test sets counts from the next transaction on
    """

    def __init__(self, catalog: database.Catalog) -> None:
        super().__init__()
        self._engine = catalog.engine
        self.ahead = 0.0

    def _setUp(self) -> None:
        # In place of the function from which sqlite has the time.
        sa.event.listen(self._engine, 'begin', self._replace)
        self.addCleanup(sa.event.remove, self._engine, 'begin', self._replace)

    def _replace(self, connection: Any) -> None:
        driver = connection.connection.driver_connection
        driver.create_function('julianday', 1, self._julianday)

    def _julianday(self, _when: str) -> float:
        return 2440587.5 + (time.time() + self.ahead) / 86400
