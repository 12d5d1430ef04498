# SPDX-License-Identifier: Apache-2.0
"""What unit and functional tests are derived from."""

from collections.abc import Iterator
import contextlib
import hashlib
import os
import time
from typing import Any

from oslotest import base

# Longer data are not shown; where they differ is.
_SHOWN = 256
_BLOCK = 4096
# Seconds for a thread that closes what it has used.
_PATIENCE = 10.0


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

    @contextlib.contextmanager
    def leaves_nothing_open(self) -> Iterator[None]:
        """What is opened meanwhile is closed in the end, or soon after."""
        before = _descriptors()
        yield
        end = time.monotonic() + _PATIENCE
        while len(_descriptors()) > len(before):
            if time.monotonic() > end:
                self.fail(f'open: {_descriptors()}; before: {before}')
            time.sleep(0.01)


def _descriptors() -> list[str]:
    return sorted(os.listdir('/proc/self/fd'), key=int)


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
