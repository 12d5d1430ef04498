# SPDX-License-Identifier: Apache-2.0
"""The connection to a Ceph cluster, and to one pool of it."""

import base64
import binascii
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import struct
from typing import Any
from typing import TypeVar

from oslo_log import log

from ebackup_service.production import errors
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_closing
from ebackup_service.production import rbd_library

LOG = log.getLogger(__name__)

T = TypeVar('T')

# Python's bindings of librbd. An image, or a snapshot of it, that is open.
Image = Any

# Seconds that closing may take. It waits for all calls of the connection, of
# earlier closings and of a job that was stopped, too; they end by themselves.
# When one took longer, the next ones are not waited for.
_GRACE = 2.0

# How many objects librbd asks for their snapshots at the same time; its own
# default, 10, is made for clients that do something else besides.
_CONCURRENT = 32

# Of cls_rbd, the class by which OSDs know what a header holds: argument and
# answers are little endian, a text begins with its length.
_SNAPSHOT = struct.Struct('<Q')
_LENGTH = struct.Struct('<I')
_SIZE = struct.Struct('<BQ')  # order, bytes
_HEAD = (1 << 64) - 2  # CEPH_NOSNAP
# Of a cephx key: type, time of its making, bytes of the secret that follows.
_KEY = struct.Struct('<H8sH')


class Cluster:
    """For any number of threads.

    :ivar key: names the pool, or its namespace, among all of the world
    :ivar client: what Ceph calls this connection
    """

    def __init__(
        self,
        library: rbd_library.Library,
        calls: rbd_calls.Calls,
        rados: Any,
        ioctx: Any,
        pool: str,
    ) -> None:
        self.library = library
        self.calls = calls
        self.pool = pool
        self.key = (
            f'{rados.get_fsid()}/{ioctx.get_pool_id()}/{ioctx.get_namespace()}'
        )
        self.client = f'client.{rados.get_instance_id()}'
        self._rados = rados
        self._ioctx = ioctx
        self._grace = _GRACE

    def open(self, read_only: bool = True, **which: str) -> Image:
        """Open an image by its ``name`` or ``image_id``.

        :param read_only: no other client learns of it, and this one learns
            of no change. One that is not read-only can't be removed, and gets
            its lock when it is written
        """
        return self.calls.run(
            functools.partial(
                self.library.rbd.Image,
                self._ioctx,
                read_only=read_only,
                **which,
            ),
            lambda image: image.close(),
        )

    @contextlib.contextmanager
    def opened(self, read_only: bool = True, **which: str) -> Iterator[Image]:
        image = self.open(read_only, **which)
        try:
            yield image
        finally:
            self.close_image(image)

    def close_image(self, image: Image) -> None:
        def close() -> None:
            rbd_closing.release_lock(image)
            image.close()

        self._finish(close)

    def in_trash(self, name: str) -> bool:
        """Whether an image that had the name waits for its removal."""
        trash = self.calls.run(
            lambda: list(self.library.rbd.RBD().trash_list(self._ioctx))
        )
        return any(image['name'] == name for image in trash)

    def snapshot_name(self, image_id: str, snapshot_id: int) -> str | None:
        """What a snapshot is called now, past all that is remembered here.

        None if it, or the image, is gone. As soon as somebody begins to remove
        it, it has another name; before that, nothing of it is lost.
        """
        answer = self._ask_header(image_id, 'get_snapshot_name', snapshot_id)
        if answer is None:
            return None
        (length,) = _LENGTH.unpack_from(answer)
        return answer[_LENGTH.size : _LENGTH.size + length].decode()

    def image_size(self, image_id: str) -> int | None:
        """What it is now; None if the image is gone."""
        answer = self._ask_header(image_id, 'get_size', _HEAD)
        return None if answer is None else int(_SIZE.unpack_from(answer)[1])

    def has_pool(self, pool_id: int) -> bool:
        """Ids are of one pool for ever."""
        found = self.calls.run(
            lambda: self._rados.pool_reverse_lookup(pool_id)
        )
        return found is not None

    def ask(
        self, name: str, method: str, question: bytes, room: int = 4096
    ) -> bytes | None:
        """What cls_rbd answers of an object; None: there is no such object.

        :param room: bytes that the answer may have
        :raises: OSError
        """

        def start(end: Callable[..., None]) -> None:
            self._ioctx.aio_execute(name, 'rbd', method, question, room, end)

        try:
            return self.calls.gather([start])[0]
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Everything that was opened is closed, or is just being closed."""

        def disconnect() -> None:
            self._ioctx.close()
            self._rados.shutdown()

        if not self._finish(disconnect):
            LOG.warning(
                'Ceph has not answered all yet; the connection to pool %s is '
                'closed when it has',
                self.pool,
            )

    def _finish(self, call: Callable[[], None]) -> bool:
        """Whether it was made in time; it will be in any case."""
        ended = self.calls.finish(call, self._grace)
        if not ended:
            self._grace = 0.0
        return ended

    def _ask_header(
        self, image_id: str, method: str, snapshot: int
    ) -> bytes | None:
        question = _SNAPSHOT.pack(snapshot)
        return self.ask(f'rbd_header.{image_id}', method, question)


def connect(
    library: rbd_library.Library,
    calls: rbd_calls.Calls,
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
) -> Cluster:
    """Log in, and open the pool.

    :raises CredentialsRefused: the monitors do not let the user in
    :raises AccessDenied: there is no key, or it is none
    :raises: SourceUnavailable, VolumeUnknown: no such pool
    """
    user, pool = settings.get('user', 'ebackup'), settings['pool']
    place = settings.get('mon_host') or f'{settings.get("cluster", "ceph")!r}'
    with library.explained(f'connecting to cluster {place}'):
        rados = _configured(library, user, settings, credentials)
        try:
            calls.run(
                functools.partial(_connect, rados), lambda _: rados.shutdown()
            )
        except (
            library.rados.PermissionDeniedError,
            library.rados.PermissionError,
        ) as e:
            raise errors.CredentialsRefused(
                f'Ceph ({place}) does not let client.{user} in: check the '
                "storage's user and key, or the keyring on the proxy's host"
            ) from e
        except library.rados.ObjectNotFound as e:
            if 'key' in credentials:
                raise errors.SourceUnavailable(
                    f'no monitor of Ceph is found ({place}): check the names '
                    'and addresses'
                ) from e
            raise errors.AccessDenied(
                f"no keyring on the proxy's host has client.{user}: install "
                'it, or register the storage with the key'
            ) from e
    try:
        with library.explained(
            f'opening pool {pool}', missing=errors.VolumeUnknown
        ):
            ioctx = calls.run(
                lambda: rados.open_ioctx(pool), lambda ioctx: ioctx.close()
            )
            ioctx.set_namespace(settings.get('namespace', ''))
            return Cluster(library, calls, rados, ioctx, pool)
    except BaseException:
        calls.finish(rados.shutdown, _GRACE)
        raise


def _connect(rados: Any) -> None:
    try:
        rados.connect()
    except BaseException:
        rados.shutdown()
        raise


def _configured(
    library: rbd_library.Library,
    user: str,
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
) -> Any:
    seconds = str(settings.get('timeout', 30))
    cluster = settings.get('cluster', 'ceph')
    options = {
        'client_mount_timeout': seconds,
        'rados_mon_op_timeout': seconds,
        'rados_osd_op_timeout': seconds,
        # What is read is read once; what was written is in Ceph.
        'rbd_cache': 'false',
        'rbd_concurrent_management_ops': str(_CONCURRENT),
    }
    if 'key' in credentials:
        if not _is_key(credentials['key']):
            raise errors.AccessDenied(
                f'the key of client.{user} is none of Ceph: copy what "ceph '
                f'auth get-key client.{user}" prints'
            )
        options['key'] = credentials['key']
    known = {'rados_id': user, 'clustername': cluster, 'conf': options}
    if 'mon_host' in settings:
        options['mon_host'] = settings['mon_host']
        return library.rados.Rados(**known)
    path = f'/etc/ceph/{cluster}.conf'
    try:
        return library.rados.Rados(conffile=path, **known)
    except library.rados.ObjectNotFound as e:
        raise errors.SourceUnavailable(
            f"{path} can't be read: install it on the proxy's host, or "
            'register the storage with mon_host'
        ) from e


def _is_key(text: str) -> bool:
    """Whether librados can decode it; if not, it would write it to a log."""
    try:
        key = base64.b64decode(text, validate=True)
        length: int = _KEY.unpack_from(key)[2]
        return len(key) == _KEY.size + length
    except (binascii.Error, struct.error):
        return False
