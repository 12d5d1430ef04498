# SPDX-License-Identifier: Apache-2.0
"""What the user sees: each step, and how long it took."""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
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
    print(_start_of_line(what), end='', file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        say('failed')
        raise
    say(f'{time.monotonic() - started:6.1f} s')


def together(works: list[tuple[str, Callable[[], None]]]) -> None:
    """Do several things at the same time; print each when it is done.

    All are waited for; then the first exception, if any, is raised.
    """
    if len(works) == 1:
        [(what, work)] = works
        with step(what):
            work()
    elif works:
        with futures.ThreadPoolExecutor(len(works)) as pool:
            done = [pool.submit(_alongside, *work) for work in works]
        for one in done:
            one.result()


def _alongside(what: str, work: Callable[[], None]) -> None:
    started = time.monotonic()
    try:
        work()
    except BaseException:
        say(f'{_start_of_line(what)}failed')
        raise
    say(f'{_start_of_line(what)}{time.monotonic() - started:6.1f} s')


def _start_of_line(what: str) -> str:
    return f'  {what:.<56} '
