# SPDX-License-Identifier: Apache-2.0
"""What some tests need of the machine: root, devices, mounts, programs."""

import os
import re
from typing import NoReturn
import unittest

_CAP_SYS_ADMIN = 21


def lacks(what: str) -> NoReturn:
    """Skip the test; or let it fail where the variable CI is set.

    Continuous integration has everything. A test that is skipped there for
    want of something runs nowhere, and nobody would notice.

    Call it in a test, setUp() or setUpClass(), or where one of them makes a
    fixture; a fixture's own set-up can't skip.

    :param what: is missing
    """
    if os.environ.get('CI'):
        raise AssertionError(
            f'CI is set, and this can not be tested here: {what}'
        )
    raise unittest.SkipTest(what)


def need_mounts() -> None:
    """Call lacks() unless this process may mount file systems."""
    with open('/proc/self/status') as status:
        (capabilities,) = re.findall(r'^CapEff:\s+(\w+)$', status.read(), re.M)
    if not int(capabilities, 16) >> _CAP_SYS_ADMIN & 1:
        lacks('mounting needs root (CAP_SYS_ADMIN)')
