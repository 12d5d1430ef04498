# SPDX-License-Identifier: Apache-2.0
"""What the user sees: each step, and how long it took."""

from collections.abc import Iterator
import contextlib
import sys
import time


class Problem(Exception):
    """Something that the user has to put right; the message says how."""


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Print what is being done and, once it is done, its seconds."""
    started = time.monotonic()
    print(f'  {what:.<56} ', end='', file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        say('failed')
        raise
    say(f'{time.monotonic() - started:6.1f} s')
