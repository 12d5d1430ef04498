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

    In between, the lease keeper's tells the server: what it was granted before
    reaches further than it may once the volume is used. ``_come`` protects the
    rest.
    """

    def __init__(self) -> None:
        self._come = threading.Condition()
        self._connection: messages.Connection | None = None
        self._known = False

    def give(self, connection: messages.Connection) -> None:
        """Put it down; the same again is no harm."""
        with self._come:
            self._connection = connection

    @property
    def given(self) -> bool:
        with self._come:
            return self._connection is not None

    def confirm(self) -> None:
        """The server has granted a lease, knowing that it was given."""
        with self._come:
            self._known = True
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
                if not self._known:
                    self._come.wait(_LOOK)
                if self._known and self._connection is not None:
                    return self._connection
            if time.monotonic() > end:
                raise errors.AttachmentTimeout(
                    f'No connection to the volume came within {seconds:g} s: '
                    'is the backup driver as new as this service, and does '
                    'cinder-volume answer?'
                )
