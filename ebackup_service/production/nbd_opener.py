# SPDX-License-Identifier: Apache-2.0
"""Opens NBD exports for reading and writing."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from ebackup_service.production import nbd_connection
from ebackup_service.production import nbd_extents
from ebackup_service.production import nbd_pool
from ebackup_service.production import nbd_source
from ebackup_service.production import nbd_target


class Opener:
    """What all exports of one storage are opened with.

    :param library: libnbd
    :param check: see base.ProductionStorage.from_conf()
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        library: Any,
        security: nbd_connection.Security,
        check: Callable[[], None],
    ) -> None:
        self._conf = conf
        self._library = library
        self._security = security
        self._check = check

    def probe(self, address: nbd_address.Address) -> None:
        """Whether there is such an export.

        :raises VolumeUnknown, AccessDenied, SourceUnavailable: or why not
        """
        self._first(address, ()).close()

    def source(
        self,
        address: nbd_address.Address,
        size: int,
        dirty: str | None = None,
        gone: Callable[[], errors.ProductionError] | None = None,
        release: Callable[[], None] | None = None,
        name: str | None = None,
        confirm: Callable[[], None] = lambda: None,
        point_in_time: bool = False,
    ) -> base.Source:
        """Open an export for reading.

        :param dirty: the metadata context of the bitmap that tells what
            changed
        :param gone: makes the error for an export that is no more
        :param release: called when the source is closed; may raise
        :param name: for messages, if the address says nothing
        :param confirm: raises if the export has not, or no more, what it held
        :param point_in_time: it stays as it was at an instant, which is
            another one when it is exported anew: nothing is connected to again
        :raises SizeMismatch: the export has another size
        :raises DifferenceUnavailable: it has no such context
        :raises VolumeInUse: what can be written to is no instant
        """
        wanted = nbd_extents.Contexts(dirty, True).names()
        first = self._first(address, wanted)
        try:
            _check_size(first, name or str(address), size)
            if point_in_time:
                _check_still(first, address)
            _check_counted(first, dirty)
        except BaseException:
            first.close()
            raise
        contexts = nbd_extents.Contexts(
            dirty, nbd_extents.ALLOCATION in first.contexts
        )

        complete = False

        def connect() -> nbd_connection.Connection:
            if complete:
                raise nbd_connection.Lost('another connection was lost')
            connection = self._connection(address, contexts.names())
            same = (connection.size, connection.contexts, connection.minimum)
            if same != (size, contexts.names(), first.minimum):
                connection.close()
                if connection.size == size:
                    _check_counted(connection, dirty)
                raise errors.SourceUnavailable(
                    f'{address} is not what it was when it was opened: was '
                    'the volume replaced, or its server set up anew?'
                )
            return connection

        pool = self._pool(connect, first)
        if point_in_time:
            self._complete(pool, address)
            complete = True
        return nbd_source.NbdSource(
            pool,
            name or str(address),
            size,
            contexts,
            0.0 if point_in_time else self._conf.nbd.outage,
            self._check,
            gone or (lambda: _unknown(address)),
            confirm,
            release,
        )

    def target(
        self,
        address: nbd_address.Address,
        size: int,
        volume_is_new: bool,
        release: Callable[[], None] | None = None,
        name: str | None = None,
    ) -> base.Target:
        """Open an export for writing; see source()."""
        first: nbd_connection.Connection | None = None
        try:
            first = self._connection(address, [nbd_extents.ALLOCATION])
            _check_size(first, name or str(address), size)
            if first.read_only:
                raise errors.AccessDenied(
                    f'{address} can only be read: let its server export it '
                    'writable'
                )
            if not first.flushes:
                raise errors.AccessDenied(
                    f'the server of {address} can not flush, so nothing '
                    'written there is ever known to be safe: use another'
                )
            truncated = volume_is_new and _is_empty(first, size)
        except (nbd_connection.Lost, nbd_connection.Refused) as e:
            if first is not None:
                first.close()
            raise errors.TargetUnavailable(
                f'{e} while opening {address}: check its server, then '
                'restore again'
            ) from e
        except BaseException:
            if first is not None:
                first.close()
            raise

        def connect() -> nbd_connection.Connection:
            return self._connection(address, [nbd_extents.ALLOCATION])

        return nbd_target.NbdTarget(
            self._pool(connect, first),
            name or str(address),
            size,
            truncated,
            first.minimum,
            release,
        )

    def fill(self, address: nbd_address.Address, content: bytes) -> None:
        """Write all of an export that has this size, for what is read later.

        :raises SourceUnavailable: it could not be written
        """
        connection = self._first(address, ())
        try:
            connection.write(0, memoryview(content))
        except (nbd_connection.Lost, nbd_connection.Refused) as e:
            raise errors.SourceUnavailable(
                f'{e} while writing {address}: check its server and the '
                'directory of its files, then try again'
            ) from e
        finally:
            connection.close()

    def _first(
        self, address: nbd_address.Address, contexts: Sequence[str]
    ) -> nbd_connection.Connection:
        try:
            return self._connection(address, contexts)
        except nbd_connection.Lost as e:
            raise errors.SourceUnavailable(
                f'{e} at {address}: check its server and the network, then '
                'try again'
            ) from e

    def _connection(
        self, address: nbd_address.Address, contexts: Sequence[str]
    ) -> nbd_connection.Connection:
        try:
            return self._connect(address, contexts)
        except nbd_connection.KeyRefused:
            # One that is being ended, or begun again, is not there now, or
            # does take the key.
            return self._connect(address, contexts)

    def _connect(
        self, address: nbd_address.Address, contexts: Sequence[str]
    ) -> nbd_connection.Connection:
        return nbd_connection.Connection(
            self._library,
            address,
            contexts,
            self._security,
            self._conf.nbd.timeout,
            self._check,
        )

    def _complete(
        self, pool: nbd_pool.Pool, address: nbd_address.Address
    ) -> None:
        """Make all connections, to one and the same export.

        An export that is removed ends its connections. So they all are to the
        one that the first is to, if that is there when the last was made.
        """
        try:
            with pool.filled() as connections:
                block = memoryview(bytearray(connections[0].minimum))
                connections[0].read(0, block)
        except (nbd_connection.Lost, nbd_connection.Refused) as e:
            pool.close()
            raise errors.SourceUnavailable(
                f'{e} while opening {address}: check its server, then try '
                'again'
            ) from e
        except BaseException:
            pool.close()
            raise

    def _pool(
        self,
        connect: Callable[[], nbd_connection.Connection],
        first: nbd_connection.Connection,
    ) -> nbd_pool.Pool:
        limit = self._conf.nbd.connections if first.multi else 1
        return nbd_pool.Pool(connect, first, limit, self._check)


def _check_size(
    connection: nbd_connection.Connection,
    name: str,
    size: int,
) -> None:
    if connection.size != size:
        raise errors.SizeMismatch(
            f'{name} has {connection.size} bytes, the volume {size}: is it '
            'the right volume, and does the server know its new size?'
        )


def _check_still(
    connection: nbd_connection.Connection, address: nbd_address.Address
) -> None:
    if not connection.read_only:
        raise errors.VolumeInUse(
            f'{address} can be written to, so it is not the point in time '
            'that it is registered as: let its server export it read-only, '
            'or register the storage without point_in_time'
        )


def _check_counted(
    connection: nbd_connection.Connection, dirty: str | None
) -> None:
    if dirty is not None and dirty not in connection.contexts:
        raise errors.DifferenceUnavailable(
            f'the export has no metadata context {dirty}: is the bitmap '
            'there, and does the server export it?'
        )


def _is_empty(connection: nbd_connection.Connection, size: int) -> bool:
    """Whether the server says of all bytes that they are zeros."""
    if not connection.contexts:
        return False
    contexts = nbd_extents.Contexts(None, True)
    found = nbd_extents.extents(connection.block_status, contexts, size)
    return next(found, None) is None


def _unknown(address: nbd_address.Address) -> errors.ProductionError:
    return errors.SourceUnavailable(
        f'{address} is no export of that server any more: let it be exported '
        'again'
    )
