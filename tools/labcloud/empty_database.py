# SPDX-License-Identifier: Apache-2.0
"""Make the MariaDB database of a service empty: empty_database FILE.

FILE is the service's configuration. What was in the database is gone; that
somebody interrupts us in the middle does no harm, if we are called again.
"""

import sys

from oslo_config import cfg
from oslo_db import options
import sqlalchemy


def main() -> None:
    _program, file = sys.argv
    conf = cfg.ConfigOpts()
    conf.register_opts(options.database_opts, group='database')
    conf([], default_config_files=[file])
    url = sqlalchemy.make_url(conf.database.connection)
    # Not connected to the database itself: it may be gone already.
    engine = sqlalchemy.create_engine(url.set(database=''))
    with engine.connect() as connection:
        for statement in (
            f'DROP DATABASE IF EXISTS {url.database}',
            f'CREATE DATABASE {url.database} '
            f'CHARACTER SET {url.query["charset"]}',
        ):
            connection.exec_driver_sql(statement)


if __name__ == '__main__':
    main()
