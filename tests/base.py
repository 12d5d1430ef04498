# SPDX-License-Identifier: Apache-2.0
"""What unit and functional tests are derived from."""

import hashlib
import os
from typing import Any

from oslotest import base

# Longer data are not shown; where they differ is.
_SHOWN = 256
_BLOCK = 4096


class BaseTestCase(base.BaseTestCase):
    def assertEqual(
        self, expected: Any, observed: Any, message: str = ''
    ) -> None:
        """The same, but a failure doesn't show data of a volume or a pack.

        They would fill a log that somebody has to find the reason in.
        """
        if expected == observed:
            return
        if _is_long(expected) and _is_long(observed):
            difference = _difference(bytes(expected), bytes(observed))
            self.fail(f'{message}: {difference}' if message else difference)
        super().assertEqual(_shown(expected), _shown(observed), message)


def _is_long(value: Any) -> bool:
    return isinstance(value, bytes | bytearray) and len(value) > _SHOWN


def _difference(expected: bytes, observed: bytes) -> str:
    place = len(os.path.commonprefix([expected, observed]))
    starts = range(0, max(len(expected), len(observed)), _BLOCK)
    blocks = sum(
        expected[start : start + _BLOCK] != observed[start : start + _BLOCK]
        for start in starts
    )
    there = slice(place, place + 16)
    return (
        f'{len(observed)} bytes where {len(expected)} are expected; '
        f'{blocks} of {len(starts)} blocks of {_BLOCK} bytes differ, from '
        f'byte {place} on: {observed[there]!r}, not {expected[there]!r}'
    )


def _shown(value: Any) -> Any:
    """The same with less data, and yet different from what is different."""
    if _is_long(value):
        digest = hashlib.sha256(value).hexdigest()
        return f'{len(value)} bytes with sha256 {digest}'
    if type(value) is dict:
        return {name: _shown(inner) for name, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_shown, value))
    return value
