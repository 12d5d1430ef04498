# SPDX-License-Identifier: Apache-2.0
"""What somebody may put into a repository who has read the format.

Drawn by hypothesis: what is nearly right, with right checksums, so that the
checks behind them are reached as well.
"""

from collections.abc import Iterator
import contextlib
import time
import tracemalloc
from typing import Any
import zlib

from hypothesis import strategies as st

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import pack
from ebackup_service.repository import record

MIB = 1024 * 1024
_SECONDS = 5.0
# Where somebody may have forgotten an edge.
_NUMBERS = st.sampled_from(
    [0, 1, 63, 64, 65, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**24]
    + [2**31 - 1, 2**31, 2**32 - 64, 2**32 - 1, 2**48, 2**63, 2**64 - 1]
) | st.integers(0, 2**64 - 1)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 2**32, 2**63, 2**64, 10**400, 1.0, 1e308])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50)
    | st.sampled_from(['', '00' * 32, 'default', 'ab' * 16, 'A' * 36]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)


@contextlib.contextmanager
def bounded(peak: int) -> Iterator[None]:
    """Allocate no more than so many bytes at once, and do it soon.

    Of Python and numpy; what a codec or mmap takes isn't seen.
    """
    began = time.process_time()
    tracemalloc.start()
    try:
        yield
        _, reached = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    took = time.process_time() - began
    if reached > peak:
        raise AssertionError(f'{reached} bytes allocated, at most {peak} may')
    if took > _SECONDS:
        raise AssertionError(f'it took {took} seconds')


@st.composite
def damaged(draw: Any, valid: Any) -> bytes:
    """Some valid bytes, changed in a few places, cut, or with more in them."""
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(['number', 'bit', 'cut', 'drop', 'more'])):
            case 'number':
                size = draw(st.sampled_from([1, 2, 4, 8]))
                number = draw(_NUMBERS) % 2 ** (8 * size)
                data[at : at + size] = number.to_bytes(size, 'little')
            case 'bit' if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 'cut':
                del data[at:]
            case 'drop':
                del data[at : at + draw(st.integers(1, 64))]
            case 'more':
                data[at:at] = draw(st.binary(max_size=64))
    return bytes(data)


@st.composite
def changed(draw: Any, valid: Any) -> Any:
    """A JSON document with another value somewhere, or without one."""
    value = draw(valid)
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 9)):
            return {**value, name: draw(changed(st.just(value[name])))}
        return {key: value[key] for key in value if key != name}
    return draw(st.sampled_from(_near(value)) | JSON)


def _near(value: Any) -> list[Any]:
    """What looks like a value and isn't one."""
    match value:
        case bool():
            return [int(value), str(value), None]
        case int():
            return [float(value), str(value), -1 - value, 2**64, value > 0]
        case str():
            return [f'{value} ', value.upper(), '', [value], None]
        case dict():
            return [list(value.items()), {**value, 'more': 1}, {}, None]
    return [0, '', [], {}]


def sealed(kind: str, body: bytes) -> bytes:
    """A document with a right length and a right checksum."""
    head = document.seal(kind, {}).split(b'\n')[0]
    head = head.replace(b'"length":2', b'"length":%d' % len(body))
    old = document._checksum(kind, b'{}')
    new = document._checksum(kind, body)
    return head.replace(old.encode(), new.encode()) + b'\n' + body + b'\n'


def with_checksums(data: bytes) -> bytes:
    """The bytes of a pack, with all checksums made right that there are."""
    fixed = bytearray(data)
    at = fixed.find(record.MAGIC)
    while at >= 0:
        _fix_record(fixed, at)
        at = fixed.find(record.MAGIC, at + 1)
    if len(fixed) >= pack.HEADER_SIZE:
        _put_crc(fixed, 124, fixed[:124])
    end = len(fixed) - pack.TRAILER_SIZE
    if end >= 0:
        begin = int.from_bytes(fixed[end + 4 : end + 8], 'little')
        if begin <= end:
            _put_crc(fixed, end + 8, fixed[begin:end])
        _put_crc(fixed, end + 20, fixed[end : end + 20])
    return bytes(fixed)


def _fix_record(data: bytearray, at: int) -> None:
    if at + record.HEADER_SIZE <= len(data):
        crc = data[at : at + 28] + data[at + 32 : at + 64]
        _put_crc(data, at + 28, crc)


def _put_crc(data: bytearray, at: int, covered: bytes | bytearray) -> None:
    data[at : at + 4] = zlib.crc32(covered).to_bytes(4, 'little')


class Objects:
    """A storage of a dictionary, as far as readers need it."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def size(self, key: str) -> int:
        return len(self.read(key))

    def read(self, key: str, fresh: bool = False) -> bytes:
        if key not in self._objects:
            raise errors.ObjectMissing(key)
        return self._objects[key]

    def read_into(self, key: str, offset: int, buffer: memoryview) -> None:
        data = self.read(key)[offset : offset + len(buffer)]
        if len(data) < len(buffer):
            raise errors.ObjectTruncated(key)
        buffer[:] = data
