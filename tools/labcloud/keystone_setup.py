# SPDX-License-Identifier: Apache-2.0
"""Make Keystone's database, keys and first user: keystone_setup FILE.

These are four commands of keystone-manage; in one process, since each would
take seconds to start. The options of bootstrap are in the environment.
"""

import os
import sys

from keystone.cmd import cli
import keystone.conf


def main() -> None:
    _program, file = sys.argv
    owner = []
    if os.geteuid() == 0:
        # Root has to say whose the keys are to be. Anybody else keeps them,
        # and need not have a name, which these options ask for.
        owner += ['--keystone-user', str(os.geteuid())]
        owner += ['--keystone-group', str(os.getegid())]
    for command in (
        ['db_sync'],
        ['fernet_setup', *owner],
        ['credential_setup', *owner],
        ['bootstrap'],
    ):
        # Each reads the configuration anew.
        keystone.conf.CONF.reset()
        cli.main(['keystone-manage', '--config-file', file, *command])


if __name__ == '__main__':
    main()
