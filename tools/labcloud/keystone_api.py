# SPDX-License-Identifier: Apache-2.0
"""Serve Keystone: keystone_api FILE PORT.

Loading keystone.wsgi.api reads the command line as Keystone's own, so it has
to be trimmed before.
"""

import sys

import waitress


def main() -> None:
    _program, file, port = sys.argv
    sys.argv = ['keystone', '--config-file', file]
    from keystone.wsgi import api

    waitress.serve(api.application, host='127.0.0.1', port=port, threads=8)


if __name__ == '__main__':
    main()
