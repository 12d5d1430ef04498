# SPDX-License-Identifier: Apache-2.0
"""libnbd's Python module, which no package index has."""

import importlib
from typing import Any

from ebackup_service.production import errors

_PACKAGE = (
    "install libnbd's Python module (Debian and Ubuntu: python3-libnbd) where "
    'the Python of this service finds it'
)


def load() -> Any:
    """The module nbd, if it is libnbd's.

    :raises NotInstalled: PyPI's nbd is another program
    """
    try:
        module = importlib.import_module('nbd')
    except ImportError as e:
        raise errors.NotInstalled(
            f'libnbd is missing on this proxy ({e}): {_PACKAGE}'
        ) from e
    if not hasattr(getattr(module, 'NBD', None), 'aio_block_status'):
        raise errors.NotInstalled(
            f'the Python module nbd of this proxy, {module.__file__}, is not '
            f'libnbd: remove it, and {_PACKAGE}'
        )
    return module
