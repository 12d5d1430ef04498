# SPDX-License-Identifier: Apache-2.0
"""Runs a program that serves until it is told to stop."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log

from ebackup_service import conf as service_conf

LOG = logging.getLogger(__name__)
# Starts the parts of a program and leaves with the stack how they stop.
Start = Callable[[cfg.ConfigOpts, contextlib.ExitStack], None]
# Seconds beyond the parts' own that stopping may take.
MARGIN = 25
# By its number: whatever stands in for it can't be written to in a crash.
_STDERR = 2
# What an operator can put right; the message says how.
EXPECTED = (cfg.Error, OSError)


def run(
    prog: str,
    start: Start,
    args: Sequence[str] | None,
    expected: tuple[type[Exception], ...] = (),
) -> int:
    """Start, wait for SIGTERM or SIGINT, stop; return the exit code.

    :param expected: what start() may raise that an operator can put right
    """
    expected = (*EXPECTED, *expected)
    # Should a library end the process, it says what each thread was doing.
    faulthandler.enable(_STDERR)
    told = _Told()
    watchdog: threading.Timer | None = None
    try:
        conf = service_conf.load(prog, sys.argv[1:] if args is None else args)
        log.setup(conf, service_conf.PROJECT)
        # values of options that are secret are masked
        conf.log_opt_values(LOG, logging.DEBUG)
        with contextlib.ExitStack() as stack:
            start(conf, stack)
            LOG.info('%s is ready', prog)
            told.wait()
            watchdog = _watch(
                conf.api.shutdown_timeout + conf.proxy.shutdown_timeout
            )
            LOG.info('%s is stopping', prog)
    except expected as error:
        print(f'{prog}: {error}', file=sys.stderr)
        return 1
    finally:
        if watchdog is not None:
            watchdog.cancel()
    LOG.info('%s has stopped', prog)
    return 0


class _Told:
    """Whether the process was told to stop, from its first moment on.

    The second time it ends at once. Nothing is lost by that: whatever was
    acknowledged has been written before.
    """

    def __init__(self) -> None:
        self._told = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def wait(self) -> None:
        self._told.wait()

    def _tell(self, number: int, _frame: Any) -> None:
        if self._told.is_set():
            os._exit(128 + number)
        self._told.set()


def _watch(patience: float) -> threading.Timer:
    """See to it that the process ends in bounded time, unless cancelled."""
    limit = patience + MARGIN
    watchdog = threading.Timer(limit, _abort, [limit])
    watchdog.daemon = True
    watchdog.start()
    return watchdog


def _abort(limit: float) -> None:
    LOG.error('Not stopped after %s seconds: ending without order', limit)
    os._exit(1)
