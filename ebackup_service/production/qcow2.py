# SPDX-License-Identifier: Apache-2.0
"""An image that holds nothing yet, in QEMU's format qcow2, version 3.

QEMU's documentation (docs/interop/qcow2.rst) describes the format. Here are
one cluster with the header, one with the table of blocks of reference counts,
one such block, and the L1 table, which says of everything that it is not in
this image but in the one below.
"""

import struct

_CLUSTER = 1 << 16
_ENTRY = struct.Struct('>Q')  # of both tables
_COUNT = struct.Struct('>H')
# Of what one entry of the L1 table, a table of one cluster, speaks.
_REACH = _CLUSTER // _ENTRY.size * _CLUSTER
_HEADER = struct.Struct('>4sIQIIQIIQQIIQQQQII')
_COUNTS_TABLE = 1  # clusters from the beginning
_COUNTS = 2
_L1 = 3


def empty(size: int) -> bytes:
    """The file of an image, whole clusters.

    :param size: of the image, in bytes, a multiple of 512
    """
    entries = -(-size // _REACH)
    used = _L1 + -(-entries * _ENTRY.size // _CLUSTER)
    header = _HEADER.pack(
        b'QFI\xfb',
        3,
        *(0, 0),  # no name of a file below
        _CLUSTER.bit_length() - 1,
        size,
        0,  # not encrypted
        *(entries, _L1 * _CLUSTER),
        *(_COUNTS_TABLE * _CLUSTER, 1),
        *(0, 0),  # no snapshots
        *(0, 0, 0),  # no features
        (_COUNT.size * 8).bit_length() - 1,
        _HEADER.size,
    )
    file = bytearray(used * _CLUSTER)
    file[: len(header)] = header
    _ENTRY.pack_into(file, _COUNTS_TABLE * _CLUSTER, _COUNTS * _CLUSTER)
    for cluster in range(used):
        place = _COUNTS * _CLUSTER + cluster * _COUNT.size
        _COUNT.pack_into(file, place, 1)
    return bytes(file)
