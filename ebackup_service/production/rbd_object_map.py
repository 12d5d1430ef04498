# SPDX-License-Identifier: Apache-2.0
"""Which objects of an image exist, as its object map says.

librbd tells that, too ("whole objects" since nothing), but for that it goes
through the maps of all earlier snapshots, object by object. Here the one map
that counts is read, by the method by which librbd reads it.

What is read begins with a header: its length; version, compatible version and
length of what follows; the number of objects. Then come two bits for each
object, from a byte's highest bits on; 0: the object does not exist. (Ceph's
src/common/bit_vector.hpp and src/cls/rbd/cls_rbd.cc.)
"""

import errno
import struct

import numpy as np
from numpy import typing as npt
from oslo_log import log

from ebackup_service.production import rbd_cluster

LOG = log.getLogger(__name__)

_HEADER = struct.Struct('<IBBIQ')  # 18 = 4 + 1 + 1 + 4 + 8
_AFTER_LENGTH = 14  # 1 + 1 + 4 + 8
_VERSION = 1
_PER_BYTE = 4
# Bytes for what follows the map.
_ROOM = 64

Mask = npt.NDArray[np.bool_]


class ObjectMap:
    """:param content: as it was read

    :raises ValueError: it is none
    """

    def __init__(self, content: bytes) -> None:
        try:
            length, _, compatible, _, count = _HEADER.unpack_from(content)
        except struct.error as e:
            raise ValueError(f'{len(content)} bytes') from e
        if length < _AFTER_LENGTH or compatible > _VERSION:
            raise ValueError(f'header of version {compatible}')
        start = _HEADER.size + length - _AFTER_LENGTH
        end = start + -(-count // _PER_BYTE)
        if end > len(content):
            raise ValueError(f'{len(content)} bytes for {count} objects')
        self._count = int(count)
        self._bits = np.frombuffer(content, np.uint8)[start:end]

    def __len__(self) -> int:
        """How many objects it is about."""
        return self._count

    def exist(self, first: int, stop: int) -> Mask:
        """Which of some objects may exist.

        :param first: a multiple of four
        """
        bits = self._bits[first // _PER_BYTE : -(-stop // _PER_BYTE)]
        found: Mask = np.unpackbits(bits).reshape(-1, 2).max(axis=1) != 0
        return found[: min(stop, self._count) - first]


def load(
    cluster: rbd_cluster.Cluster,
    image: rbd_cluster.Image,
    snapshot: int | None,
    stripes: int,
    width: int,
) -> ObjectMap | None:
    """None if there is none, or none that tells of all objects.

    :param image: open at the snapshot; None: as it is now
    :param stripes: of which each has ``width`` objects; the last one may have
        less
    """
    rbd = cluster.library.rbd
    wanted = rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF
    broken = rbd.RBD_FLAG_OBJECT_MAP_INVALID | rbd.RBD_FLAG_FAST_DIFF_INVALID
    if (
        cluster.calls.run(image.features) & wanted != wanted
        or cluster.calls.run(image.flags) & broken
    ):
        return None
    name = f'rbd_object_map.{image.id()}'
    if snapshot is not None:
        name += f'.{snapshot:016x}'
    count = stripes * width
    room = _HEADER.size + count // _PER_BYTE + _ROOM
    try:
        content = cluster.ask(name, 'object_map_load', b'', room)
        if content is None:
            return None
        found = ObjectMap(content)
        if len(found) <= count - width:
            raise ValueError(f'{len(found)} of {count} objects')
    except (OSError, ValueError) as e:
        if isinstance(e, OSError) and e.errno != errno.ERANGE:
            raise
        LOG.warning('Object map %s is not what it should be: %s', name, e)
        return None
    return found
