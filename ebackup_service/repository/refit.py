# SPDX-License-Identifier: Apache-2.0
"""Encode a chunk so that it takes as many bytes as another record of it.

Pages say how long a record is, and are never changed. A zstd frame may be made
longer (RFC 8878, 3.1.1): by blocks without bytes, three bytes each, by a
checksum of four, and by a field for the length of what it holds that is larger
than it has to be. So any length will do that is 18 bytes above the shortest.
"""

from collections.abc import Callable, Iterator

import zstandard

from ebackup_service.repository import codec
from ebackup_service.repository.storage import base

# From those that cost least to those that shrink most: what was stored with a
# high level fits by a high one only.
_LEVELS = (1, 2, 3, 5, 7, 9, 12, 15, 17, 19, 22)
# Header of a block that isn't the last one, raw, of no bytes.
_EMPTY_BLOCK = bytes(3)
# Of a frame: where what it has is described, by two bits how long the field is
# that says how long its content is; and what of that is subtracted there.
_DESCRIPTOR = 4
_SIZES = {1: (2, 256), 2: (4, 0), 3: (8, 0)}


def fit(
    plain: base.Buffer, length: int, check: Callable[[], None] = lambda: None
) -> tuple[int, base.Buffer] | None:
    """(encoding, payload) of some bytes, the payload of a certain length.

    The same for the same bytes and libraries. Of 4 MiB it may take 10 seconds,
    and 65 MiB of memory.

    :param check: called often; raises to stop
    :returns: None if no way is known
    """
    if length == len(plain):
        return codec.STORED, plain
    if length > len(plain):
        return None
    encoding, payload = codec.Encoder('lz4').encode(plain)
    if encoding == codec.LZ4 and len(payload) == length:
        return encoding, payload
    for frame in _frames(plain, length, check):
        missing = length - len(frame)
        if missing >= 0 and missing % len(_EMPTY_BLOCK) == 0:
            begin = zstandard.frame_header_size(frame)
            blocks = _EMPTY_BLOCK * (missing // len(_EMPTY_BLOCK))
            return codec.ZSTD, frame[:begin] + blocks + frame[begin:]
    return None


def _frames(
    plain: base.Buffer, length: int, check: Callable[[], None]
) -> Iterator[bytes]:
    """Of many lengths; as an Encoder makes it by default, and then others.

    Not all that are longer than ``length``: the others of the level are, too.
    """
    encoding, payload = codec.Encoder('zstd').encode(plain)
    if encoding == codec.ZSTD:
        yield bytes(payload)
    for level in _LEVELS:
        for checksum in (False, True):
            check()
            frame = zstandard.ZstdCompressor(
                level=level, write_checksum=checksum
            ).compress(plain)
            yield frame
            if len(frame) > length:
                break
            yield from _widened(frame, len(plain))


def _widened(frame: bytes, plain_length: int) -> Iterator[bytes]:
    """The same frame with a larger field for the length of its content."""
    descriptor = frame[_DESCRIPTOR]
    begin = zstandard.frame_header_size(frame)
    size, _ = _SIZES.get(descriptor >> 6, (1, 0))
    for code, (wider, less) in _SIZES.items():
        if wider > size and plain_length >= less:
            yield (
                frame[:_DESCRIPTOR]
                + bytes([descriptor & 0x3F | code << 6])
                + frame[_DESCRIPTOR + 1 : begin - size]
                + (plain_length - less).to_bytes(wider, 'little')
                + frame[begin:]
            )
