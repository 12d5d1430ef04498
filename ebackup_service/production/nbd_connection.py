# SPDX-License-Identifier: Apache-2.0
"""One connection to an NBD server, and what can be done with it.

libnbd speaks the protocol; whoever calls drives it, in pieces that leave time
to look whether the job has to stop. A connection belongs to one thread at a
time, which must not use it any more once Lost was raised.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import errno
import os
import select
import socket
import struct
from typing import Any

from ebackup_service.production import dial
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import waits

# A read or write goes as pieces of this size, so many of which are under way
# at the same time (measured: smaller ones cost more CPU, larger ones, or one
# at a time, gained nothing, on a socket of the same host).
_PIECE = 1 << 20
_DEPTH = 8
# Servers that can't punch holes write that many zeros for one command.
_ZEROED = 32 << 20
# Words in what libnbd says when it is not let in; there is no number for it.
_NOT_ALLOWED = ('TLS', 'gnutls', 'policy')
# What it says when the two do not agree on the keys that they have.
_HANDSHAKE = 'gnutls_handshake'
_LINGER = struct.Struct('ii')  # struct linger: whether, and for how many s


class Lost(Exception):
    """The connection is of no use any more, or there is none."""


class Refused(Exception):
    """The server did not do what it was asked for; the connection is good.

    :param name: of an error number, such as 'EIO'
    """

    def __init__(self, name: str) -> None:
        super().__init__(os.strerror(getattr(errno, name, errno.EIO)))


class KeyRefused(errors.AccessDenied):
    """The server has ended the TLS handshake with a pre-shared key.

    It says no more than one that is just being killed. Nor is it a refusal of
    all that the storage has: each volume, and each proxy, may have a server
    of its own, and none keeps an account that could be locked.
    """


class Security:
    """How the client and the server of nbds:// know each other.

    :param certificates: directory with X.509 certificates
    :param identity, key: pre-shared; the key as hexadecimal digits
    """

    def __init__(
        self,
        certificates: str,
        identity: str | None = None,
        key: str | None = None,
    ) -> None:
        self._certificates = certificates
        self._identity = identity
        self._key = key

    @property
    def by_key(self) -> bool:
        """Whether it is a pre-shared key by which they do."""
        return self._key is not None

    @contextlib.contextmanager
    def applied(self, handle: Any, require: int) -> Iterator[None]:
        """While it is entered, libnbd may read the key.

        :raises AccessDenied: there is nothing to know the server by
        """
        handle.set_tls(require)
        if self._key is None:
            authorities = os.path.join(self._certificates, 'ca-cert.pem')
            if not os.access(authorities, os.R_OK):
                # Without it, libnbd takes any server for the right one.
                raise errors.AccessDenied(
                    f'{authorities}, by which this proxy knows the NBD '
                    'server, is not there or can not be read: put it there, '
                    'or register the storage with a pre-shared key'
                )
            handle.set_tls_certificates(self._certificates)
            yield
            return
        handle.set_tls_username(self._identity)
        # libnbd takes the key from a file only; this one has no name.
        descriptor = os.memfd_create('psk')
        try:
            os.write(descriptor, f'{self._identity}:{self._key}\n'.encode())
            handle.set_tls_psk_file(f'/proc/self/fd/{descriptor}')
            yield
        finally:
            os.close(descriptor)


class Connection:
    """To one export.

    :param library: libnbd
    :param contexts: metadata contexts that are asked for
    :param timeout: seconds without an answer after which it is Lost
    :param check: called while waiting; what it raises is passed on
    :raises Lost: nobody answers
    :raises VolumeUnknown: the server has no such export
    :raises KeyRefused: our key is not the one that it knows, or it has ended
    :raises AccessDenied: it doesn't let us in for another reason

    :ivar contexts: those of the contexts that the server has
    :ivar minimum: bytes; offsets and lengths are multiples of it
    """

    def __init__(
        self,
        library: Any,
        address: nbd_address.Address,
        contexts: Sequence[str],
        security: Security,
        timeout: float,
        check: Callable[[], None],
    ) -> None:
        self._library = library
        self._address = address
        self._timeout = timeout
        self._check = check
        self._handle = library.NBD()
        self._handle.set_export_name(address.export)
        self._handle.set_pread_initialize(False)
        for context in contexts:
            self._handle.add_meta_context(context)
        try:
            self._connect(security)
            self._ask(contexts)
        except BaseException:
            self._handle = None
            raise

    def _connect(self, security: Security) -> None:
        handle = self._handle
        with contextlib.ExitStack() as stack:
            if self._address.tls:
                require = self._library.TLS_REQUIRE
                stack.enter_context(security.applied(handle, require))
            try:
                if self._address.tls and not self._address.socket:
                    # libnbd compares the host's name with the certificate
                    # only if it has made the connection itself.
                    handle.aio_connect_tcp(
                        self._address.host, str(self._address.port)
                    )
                else:
                    handle.aio_connect_socket(self._dial())
                self._drive(lambda: not handle.aio_is_connecting())
            except self._library.Error as e:
                raise self._turned_away(e, security) from e
        if not handle.aio_is_ready():
            raise Lost('the server hung up')
        # From now on, whoever closes it: what TCP still has to send could
        # arrive when the volume is another job's.
        self._reset_at_close(True)

    def _reset_at_close(self, reset: bool) -> None:
        """Whether TCP forgets what was not sent yet, also if we are killed."""
        borrowed = socket.socket(fileno=self._handle.aio_get_fd())
        try:
            borrowed.setsockopt(
                *(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(reset, 0))
            )
        finally:
            borrowed.detach()

    def _dial(self) -> int:
        address = self._address
        try:
            if address.socket:
                return dial.unix(address.socket, self._timeout, self._check)
            return dial.tcp(
                *(address.host, address.port, self._timeout, self._check)
            )
        except PermissionError as e:
            raise errors.AccessDenied(
                f'this proxy may not connect to {address}: let its user write '
                'to the socket'
            ) from e
        except OSError as e:
            raise Lost(e.strerror or str(e)) from e

    def _turned_away(self, error: Any, security: Security) -> Exception:
        if error.errno == 'ENOENT':
            return errors.VolumeUnknown(
                f'{self._address} is no export of that server'
            )
        if security.by_key and _HANDSHAKE in error.string:
            return KeyRefused(
                f'the server of {self._address} does not take the pre-shared '
                'key: compare psk_identity and psk_key with what it knows'
            )
        if any(word in error.string for word in _NOT_ALLOWED):
            return errors.AccessDenied(
                f'the server of {self._address} lets this proxy not in, or '
                'one does not trust the other: compare what both know of TLS'
            )
        return Lost(f'no NBD connection ({error.string})')

    def _ask(self, contexts: Sequence[str]) -> None:
        handle, library = self._handle, self._library
        self.size: int = handle.get_size()
        self.read_only: bool = handle.is_read_only()
        self.multi: bool = handle.can_multi_conn()
        self.flushes: bool = handle.can_flush()
        self._zeroes: bool = handle.can_zero()
        self.contexts = [
            name for name in contexts if handle.can_meta_context(name)
        ]
        self.minimum: int = handle.get_block_size(library.SIZE_MINIMUM) or 1
        maximum: int = handle.get_block_size(library.SIZE_MAXIMUM) or _PIECE
        self._piece = min(_PIECE, maximum - maximum % self.minimum)

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer; offset and length are multiples of minimum.

        :raises Lost: and what the buffer holds is undefined
        :raises Refused: also then
        """
        wrap = self._library.Buffer.from_buffer
        self._pieces(
            offset,
            len(buffer),
            self._piece,
            lambda place, piece: self._handle.aio_pread(
                wrap(buffer[place : place + piece]), offset + place
            ),
        )

    def write(self, offset: int, buffer: memoryview) -> None:
        """As read() does.

        :raises Lost, Refused: what the volume then holds there is undefined
        """
        wrap = self._library.Buffer.from_buffer
        self._pieces(
            offset,
            len(buffer),
            self._piece,
            lambda place, piece: self._handle.aio_pwrite(
                wrap(buffer[place : place + piece]), offset + place
            ),
        )

    def zero(self, offset: int, length: int) -> None:
        """Offset and length are multiples of minimum."""
        if self._zeroes:
            self._pieces(
                offset,
                length,
                _ZEROED - _ZEROED % self.minimum,
                lambda place, piece: self._handle.aio_zero(
                    piece, offset + place
                ),
            )
            return
        zeros = memoryview(bytes(min(length, self._piece)))
        for place in range(0, length, self._piece):
            self.write(offset + place, zeros[: length - place])

    def flush(self) -> None:
        self._pieces(0, 1, 1, lambda place, piece: self._handle.aio_flush())

    def block_status(
        self, offset: int, length: int
    ) -> list[tuple[str, int, list[int]]]:
        """What the server says, unchecked.

        :return: context, offset, and lengths and flags by turns
        """
        answers: list[tuple[str, int, list[int]]] = []

        def take(
            context: str, start: int, entries: list[int], _error: Any
        ) -> int:
            answers.append((context, start, entries))
            return 0

        self._pieces(
            offset,
            length,
            length,
            lambda place, piece: self._handle.aio_block_status(
                piece, offset + place, take
            ),
        )
        return answers

    def close(self) -> None:
        """Say good-bye if nothing is under way; else what was not sent is not.

        May be called twice.
        """
        handle = self._handle
        if handle is None:
            return
        if handle.aio_is_ready() and not handle.aio_in_flight():
            self._reset_at_close(False)
            with contextlib.suppress(self._library.Error):
                handle.aio_disconnect()
        self._handle = None

    def _pieces(
        self,
        offset: int,
        length: int,
        piece: int,
        send: Callable[[int, int], int],
    ) -> None:
        """Send a command for each piece, and wait for all of them."""
        under_way: list[int] = []
        refused: Refused | None = None
        place = 0
        while True:
            while (
                place < length and refused is None and len(under_way) < _DEPTH
            ):
                size = min(piece, length - place)
                self._check()
                try:
                    under_way.append(send(place, size))
                except self._library.Error as e:
                    refused = self._refusal(e)
                place += size
            if not under_way:
                break
            try:
                self._await(under_way.pop(0))
            except self._library.Error as e:
                # What else is under way uses the buffer still.
                refused = refused or self._refusal(e)
        if refused is not None:
            raise refused

    def _await(self, cookie: int) -> None:
        self._drive(lambda: self._handle.aio_command_completed(cookie))

    def _refusal(self, error: Any) -> Refused:
        """:raises Lost: it was not the server that said so"""
        handle = self._handle
        if handle.aio_is_dead() or handle.aio_is_closed():
            raise Lost('the server hung up') from error
        return Refused(error.errno or 'EIO')

    def _drive(self, done: Callable[[], bool]) -> None:
        """Let libnbd send and receive until it is done.

        :raises Lost: nothing came in time
        """

        def moved(seconds: float) -> bool:
            direction = self._handle.aio_get_direction()
            events = 0
            if direction & self._library.AIO_DIRECTION_READ:
                events |= select.POLLIN
            if direction & self._library.AIO_DIRECTION_WRITE:
                events |= select.POLLOUT
            poll = select.poll()
            poll.register(self._handle.aio_get_fd(), events)
            found = poll.poll(seconds * 1000)
            if not found:
                return False
            if found[0][1] & ~select.POLLOUT:
                self._handle.aio_notify_read()
            else:
                self._handle.aio_notify_write()
            return True

        while not done():
            if not waits.until(moved, self._timeout, self._check):
                raise Lost(f'no answer for {self._timeout:g} seconds')
