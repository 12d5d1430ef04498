# SPDX-License-Identifier: Apache-2.0
"""Compression of records.

A codec context belongs to one thread at a time.
"""

from collections.abc import Callable
import functools

import lz4.block
import zstandard

from ebackup_service.repository.storage import base

STORED = 0
ZSTD = 1
LZ4 = 2

COMPRESSIONS = ('zstd', 'lz4', 'none')

# Of zstd; what the option has by default.
DEFAULT_LEVEL = 1

# Stored as it is unless it shrinks below this part of its length: what
# decompression costs at every restore isn't worth less.
WORTH_IT = 0.98

# Bytes of a sample, and of the shortest plain text that is worth two of them.
# (Measured: of 1 GiB of random bytes 0.06 CPU seconds instead of 0.16; of a
# file system full of programs one chunk in 2000 isn't compressed that could.)
_SAMPLE = 2048
_SAMPLED = 64 * 1024

# Bytes of a window, at most: as many as the longest plain text has.
_LARGEST = 4 << 20
# Kind of a zstd block: one byte, and how often it comes.
_REPEATED = 1


class DecodeError(Exception):
    """A payload isn't what its encoding says; the message says why."""


class Encoder:
    """Compresses by one algorithm.

    :param compression: one of COMPRESSIONS
    :param level: of zstd, -7 to 22; the others have none
    :raises ValueError: there is no such compression or level
    """

    def __init__(self, compression: str, level: int = DEFAULT_LEVEL) -> None:
        if compression not in COMPRESSIONS:
            raise ValueError(
                f'unknown compression {compression!r}; known are '
                f'{", ".join(COMPRESSIONS)}'
            )
        if compression == 'zstd' and not -7 <= level <= 22:
            raise ValueError(f'zstd has no level {level}')
        self._compress: Callable[[base.Buffer], bytes] | None = None
        self._encoding = STORED
        if compression == 'zstd':
            self._encoding = ZSTD
            self._compress = _zstd(level).compress
        elif compression == 'lz4':
            self._encoding = LZ4
            self._compress = functools.partial(
                lz4.block.compress, store_size=False
            )
        # Whether what came last did.
        self._shrinks = True

    def encode(self, plain: base.Buffer) -> tuple[int, base.Buffer]:
        """(encoding, payload) of some bytes.

        After some that didn't shrink come more of that kind, mostly: those
        are compressed only if a sample of them shrinks.
        """
        if self._compress is None or not (self._shrinks or self._may(plain)):
            return STORED, plain
        payload = self._compress(plain)
        self._shrinks = len(payload) <= len(plain) * WORTH_IT
        return (self._encoding, payload) if self._shrinks else (STORED, plain)

    def _may(self, plain: base.Buffer) -> bool:
        """Whether the middle of either half shrinks, of more than a little."""
        length = len(plain)
        if self._compress is None or length < _SAMPLED:
            return True
        view = memoryview(plain)
        return any(
            len(self._compress(view[middle : middle + _SAMPLE]))
            <= _SAMPLE * WORTH_IT
            for middle in (length // 4, length // 4 * 3)
        )


def _zstd(level: int) -> zstandard.ZstdCompressor:
    """A compressor of a level, of which level 1 has a larger table.

    What it has by itself for chunks of 128 KiB is half as large. (Measured, of
    a file system full of programs: 0.9 % less is stored, for 2 % more time.)
    """
    if level != 1:
        return zstandard.ZstdCompressor(level=level)
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            level, hash_log=14, min_match=6
        )
    )


class Decoder:
    """Decompresses whatever an Encoder made."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=_LARGEST)

    def decode(
        self,
        encoding: int,
        payload: base.Buffer,
        plain_length: int,
        into: memoryview | None = None,
    ) -> base.Buffer:
        """The plain bytes: never more than ``plain_length`` are allocated.

        :param into: where they are to be, whose length they must have; it is
            changed whatever comes of it. None: anywhere
        :raises DecodeError: the payload has another length, or is damaged
        """
        if into is not None and len(into) != plain_length:
            raise DecodeError(f'{plain_length} bytes instead of {len(into)}')
        plain: base.Buffer
        if encoding == ZSTD:
            plain = self._decode_zstd(payload, plain_length, into)
        elif encoding == LZ4:
            plain = _decode_lz4(payload, plain_length)
        elif encoding == STORED:
            plain = payload
        else:
            raise DecodeError(f'unknown encoding {encoding}')
        if len(plain) != plain_length:
            raise DecodeError(f'{len(plain)} bytes instead of {plain_length}')
        if into is None or plain is into:
            return plain
        into[:] = plain
        return into

    def _decode_zstd(
        self,
        payload: base.Buffer,
        plain_length: int,
        into: memoryview | None,
    ) -> base.Buffer:
        try:
            # The library would allocate what the frame claims.
            if zstandard.frame_content_size(payload) != plain_length:
                raise DecodeError('the zstd frame has another length')
            if _frame_end(payload) != len(payload):
                raise DecodeError('the zstd frame does not end there')
            if into is None:
                return self._zstd.decompress(
                    payload,
                    max_output_size=plain_length,
                    allow_extra_data=False,
                )
            stream = self._zstd.stream_reader(payload, read_across_frames=True)
            # At once: all of the frame is there, and room for what it holds.
            if stream.readinto(into) != plain_length or stream.read(1):
                raise DecodeError('the zstd frame has another length')
            return into
        except zstandard.ZstdError as error:
            raise DecodeError(f'no valid zstd frame ({error})') from error


def _frame_end(payload: base.Buffer) -> int:
    """Where the zstd frame ends that begins here; RFC 8878, 3.1.1."""
    at: int = zstandard.frame_header_size(payload)
    last = 0
    while not last:
        header = int.from_bytes(payload[at : at + 3], 'little')
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _REPEATED else size)
        if at > len(payload):
            raise DecodeError('the zstd frame is cut off')
    if zstandard.get_frame_parameters(payload).has_checksum:
        at += 4
    return at


def _decode_lz4(payload: base.Buffer, plain_length: int) -> bytes:
    try:
        plain: bytes = lz4.block.decompress(
            payload, uncompressed_size=plain_length
        )
    except lz4.block.LZ4BlockError as error:
        raise DecodeError(f'no valid lz4 block ({error})') from error
    return plain
