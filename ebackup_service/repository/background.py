# SPDX-License-Identifier: Apache-2.0
"""Calls that go on while who made them does something else."""

from collections.abc import Callable
from concurrent import futures
import threading
from typing import Generic
from typing import TypeVar

T = TypeVar('T')


def begun(call: Callable[[], T], name: str) -> 'futures.Future[T]':
    """Make a call in a thread of its own, which doesn't keep the process.

    :param name: of the thread
    """
    future: futures.Future[T] = futures.Future()

    def work() -> None:
        try:
            result = call()
        except BaseException as e:
            future.set_exception(e)
        else:
            future.set_result(result)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


class WriteBehind(Generic[T]):
    """One call at a time, while its owner makes what is written next.

    Belongs to one thread at a time.
    """

    def __init__(self) -> None:
        self._call: futures.Future[T] | None = None

    def start(self, call: Callable[[], T]) -> None:
        """Begin a call; the one before has been settled."""
        if self._call is not None:
            raise ValueError('a call is not settled yet')
        self._call = begun(call, 'write-behind')

    def settle(self) -> T | None:
        """Wait for the end of the call.

        :returns: what it returned; None: there is none that isn't settled
        :raises: what it raised; it is settled then, too
        """
        call, self._call = self._call, None
        return None if call is None else call.result()

    def close(self) -> None:
        """Wait for the end of the call, whatever it comes to."""
        call, self._call = self._call, None
        if call is not None:
            futures.wait([call])
