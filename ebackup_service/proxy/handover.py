# SPDX-License-Identifier: Apache-2.0
"""Where a job's connection is put down when it comes, and waited for."""

from collections.abc import Callable
import threading
import time

from ebackup_service.proxy import errors
from ebackup_service.rpc import messages

_LOOK = 0.5  # seconds between two looks whether the job has to stop


class Handover:
    """Given by a thread of the listener, waited for by the job's own.

    ``_come`` protects ``_connection``.
    """

    def __init__(self) -> None:
        self._come = threading.Condition()
        self._connection: messages.Connection | None = None

    def give(self, connection: messages.Connection) -> None:
        """Put it down; the same again is no harm."""
        with self._come:
            self._connection = connection
            self._come.notify_all()

    def wait(
        self, seconds: float, check: Callable[[], None]
    ) -> messages.Connection:
        """The connection, as often as it is asked for.

        :param check: raises when the job has to stop
        :raises AttachmentTimeout: it has not come
        """
        end = time.monotonic() + seconds
        while True:
            check()
            with self._come:
                if self._connection is None:
                    self._come.wait(_LOOK)
                if self._connection is not None:
                    return self._connection
            if time.monotonic() > end:
                raise errors.AttachmentTimeout(
                    f'No connection to the volume came within {seconds:g} s: '
                    'is the backup driver as new as this service, and does '
                    'cinder-volume answer?'
                )
