# SPDX-License-Identifier: Apache-2.0
"""Waiting for librados and librbd, whose calls nobody can interrupt.

A call that blocks is made in a thread of its own, an asynchronous one ends in
a thread of librbd. The caller only waits, looks now and then whether his job
has to stop, and then goes away; what is under way ends by itself, when Ceph
answers or its own time limits are over.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import concurrent.futures
import contextlib
import errno
import functools
import os
import threading
import time
from typing import Any
from typing import TypeAlias
from typing import TypeVar

from ebackup_service.production import waits

T = TypeVar('T')

# Begins an asynchronous call that, at its end, calls the argument with the
# completion and, if it reads, what was read.
Start = Callable[[Callable[..., None]], object]
# One that is under way, or some that were begun together.
_Call: TypeAlias = 'concurrent.futures.Future[Any]'


class Calls:
    """For any number of threads.

    ``_over`` protects ``_begun``: calls that are under way, whether somebody
    waits for them or not. It is notified when one has ended. ``_thread`` says
    of a thread whether it makes a step of ahead().

    :param check: raises when the job has to stop
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._may_go_on = check
        self._thread = threading.local()
        self._over = threading.Condition()
        self._begun: set[_Call] = set()

    def run(
        self,
        call: Callable[[], T],
        forget: Callable[[T], object] | None = None,
    ) -> T:
        """Make a call that blocks.

        :param forget: what to do with a result that nobody waits for any
            more; may block, too
        :raises: what the call, or the check, raises
        """
        self._check_before()
        future = self._begin(call)
        try:
            return waits.awaited(future, self._check)
        except BaseException:
            if forget is not None:
                self._begin(functools.partial(_forget, future, forget))
            raise

    def ahead(self, step: Callable[[], T | None]) -> Iterator[T]:
        """What a call that blocks returns each time; None is the end.

        The next one is under way while the caller deals with the last, and
        may be so still when he goes away. It may make other calls: when the
        job has to stop, it begins no more of them, but sees the end of what
        it has begun, so that finish() waits for that.

        :raises: what the call, or the check, raises
        """

        def make() -> T | None:
            self._thread.makes_step = True
            return step()

        following = self._begin(make)
        while (found := waits.awaited(following, self._check)) is not None:
            following = self._begin(make)
            yield found

    def gather(self, starts: Sequence[Start]) -> list[bytes]:
        """Make asynchronous calls, all at the same time.

        :param starts: each begins one
        :returns: what each has read
        :raises: OSError
        """
        return self.begin(starts).wait()

    def begin(self, starts: Sequence[Start]) -> 'Gathering':
        """As gather() does, but to be waited for later, by any thread."""
        self._check_before()
        gathering = Gathering(len(starts), self._check)
        self._note(gathering.ended)
        gathering.begin(starts)
        return gathering

    def finish(self, call: Callable[[], object], seconds: float) -> bool:
        """Once all that are under way have ended, make a call that blocks.

        For what takes from them what they need: librados crashes if it is
        shut down while an answer comes. Each of them has to end by itself;
        what takes longer than the caller waits is made all the same.

        :param seconds: to wait at most
        :returns: whether it has ended, and not how
        """

        def finish() -> None:
            with self._over:
                self._over.wait_for(lambda: before.isdisjoint(self._begun))
            call()

        with self._over:
            before = frozenset(self._begun)
            future = self._begin(finish)
        return bool(concurrent.futures.wait([future], seconds).done)

    def pause(self, seconds: float) -> None:
        """Wait; a second at most."""
        self._check()
        time.sleep(seconds)

    def _check_before(self) -> None:
        """Before a call; who makes no step is asked while it waits."""
        if self._makes_step():
            self._may_go_on()

    def _check(self) -> None:
        """While a call is under way."""
        if not self._makes_step():
            self._may_go_on()

    def _makes_step(self) -> bool:
        return getattr(self._thread, 'makes_step', False)

    def _begin(self, call: Callable[[], T]) -> 'concurrent.futures.Future[T]':
        with self._over:
            future = waits.begun(call)
            self._note(future)
        return future

    def _note(self, call: _Call) -> None:
        with self._over:
            self._begun.add(call)
        call.add_done_callback(self._remove)

    def _remove(self, call: _Call) -> None:
        with self._over:
            self._begun.remove(call)
            self._over.notify_all()


class Gathering:
    """Asynchronous calls that are made together.

    Any number of threads may wait. ``_lock`` protects what has ended so far.

    :param count: how many
    :ivar ended: is done when all have
    """

    def __init__(self, count: int, check: Callable[[], None]) -> None:
        self.ended: concurrent.futures.Future[None]
        self.ended = concurrent.futures.Future()
        self._check = check
        self._lock = threading.Lock()
        self._missing = count
        self._found = [b''] * count
        self._failure = 0

    def begin(self, starts: Sequence[Start]) -> None:
        """:param starts: as many as were said"""
        if not starts:
            self.ended.set_result(None)
        for number, start in enumerate(starts):
            try:
                start(functools.partial(self._end, number))
            except Exception as error:
                # Of those before it somebody has to see the end.
                code = getattr(error, 'errno', None) or errno.EIO
                self._count(number, -code, None)

    def wait(self) -> list[bytes]:
        """What each has read.

        :raises: OSError, when all have ended; what the check raises
        """
        if not self.ended.done():
            self._check()  # whoever is stopped does not begin to wait
            waits.awaited(self.ended, self._check)
        if self._failure:
            raise OSError(-self._failure, os.strerror(-self._failure))
        return self._found

    def _end(
        self, number: int, completion: Any, data: bytes | None = None
    ) -> None:
        """Called by a thread of librbd."""
        self._count(number, completion.get_return_value(), data)

    def _count(self, number: int, code: int, data: bytes | None) -> None:
        with self._lock:
            self._found[number] = data or b''
            self._failure = self._failure or min(code, 0)
            self._missing -= 1
            missing = self._missing
        if not missing:
            self.ended.set_result(None)


def _forget(
    call: 'concurrent.futures.Future[T]', forget: Callable[[T], object]
) -> None:
    with contextlib.suppress(Exception):
        forget(call.result())
