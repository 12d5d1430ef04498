# SPDX-License-Identifier: Apache-2.0
"""What the user sees: each step, and how long it took."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import sys
import threading
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

    All are waited for; then the first exception, if any, is raised. An
    interruption by the user is not kept waiting for them.
    """
    if len(works) == 1:
        [(what, work)] = works
        with step(what):
            work()
        return
    failures: list[BaseException] = []
    threads = [
        threading.Thread(
            target=_alongside, args=(what, work, failures), daemon=True
        )
        for what, work in works
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _alongside(
    what: str, work: Callable[[], None], failures: list[BaseException]
) -> None:
    started = time.monotonic()
    try:
        work()
    except BaseException as failure:
        failures.append(failure)
        say(f'{_start_of_line(what)}failed')
    else:
        say(f'{_start_of_line(what)}{time.monotonic() - started:6.1f} s')


def _start_of_line(what: str) -> str:
    return f'  {what:.<56} '
