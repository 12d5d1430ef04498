# SPDX-License-Identifier: Apache-2.0
"""Calls that go on while who made them does something else."""

from collections.abc import Callable
from concurrent import futures
import queue
import threading
from typing import Generic
from typing import TypeAlias
from typing import TypeVar

T = TypeVar('T')

# A call, and who gets its end; None: there will be no more.
_Item: TypeAlias = 'tuple[Callable[[], T], futures.Future[T]] | None'


def begun(call: Callable[[], T], name: str) -> 'futures.Future[T]':
    """Make a call in a thread of its own, which doesn't keep the process.

    :param name: of the thread
    """
    future: futures.Future[T] = futures.Future()
    threading.Thread(
        target=_make, args=(call, future), name=name, daemon=True
    ).start()
    return future


class WriteBehind(Generic[T]):
    """One call at a time, while its owner makes what is written next.

    Belongs to one thread at a time. Its own thread, which doesn't keep the
    process, is there from the first call on, until close(): to begin one for
    each call takes longer.
    """

    def __init__(self) -> None:
        self._call: futures.Future[T] | None = None
        self._calls: queue.SimpleQueue[_Item[T]] | None = None

    def start(self, call: Callable[[], T]) -> None:
        """Begin a call; the one before has been settled."""
        if self._call is not None:
            raise ValueError('a call is not settled yet')
        if self._calls is None:
            calls: queue.SimpleQueue[_Item[T]] = queue.SimpleQueue()
            threading.Thread(
                target=_make_all,
                args=(calls,),
                name='write-behind',
                daemon=True,
            ).start()
            self._calls = calls
        self._call = futures.Future()
        self._calls.put((call, self._call))

    def settle(self) -> T | None:
        """Wait for the end of the call.

        :returns: what it returned; None: there is none that isn't settled
        :raises: what it raised; it is settled then, too
        """
        call, self._call = self._call, None
        return None if call is None else call.result()

    def close(self) -> None:
        """Wait for the end of the call, whatever it comes to.

        Then there is no thread, until another call is begun.
        """
        call, self._call = self._call, None
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.put(None)
        if call is not None:
            futures.wait([call])


def _make_all(calls: 'queue.SimpleQueue[_Item[T]]') -> None:
    while (item := calls.get()) is not None:
        _make(*item)
        del item  # what it refers to may be large


def _make(call: Callable[[], T], future: 'futures.Future[T]') -> None:
    try:
        result = call()
    except BaseException as e:
        future.set_exception(e)
    else:
        future.set_result(result)
