# SPDX-License-Identifier: Apache-2.0
"""What an NBD server says of a volume's blocks, checked, as extents.

A server answers for each metadata context with descriptors: a length and
flags, by turns, from the offset on that it was asked for. It may say less
than it was asked for, and its last descriptor may say more.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

from ebackup_service.production import base
from ebackup_service.production import errors

ALLOCATION = 'base:allocation'
_READS_ZERO = 2  # NBD_STATE_ZERO
# Asked about at a time: 32768 blocks of a bitmap with 64 KiB each, at most.
_WINDOW = 2 << 30

Descriptors = list[tuple[int, int]]
Ask = Callable[[int, int], list[tuple[str, int, list[int]]]]


class Contexts(NamedTuple):
    """Which metadata contexts tell something.

    dirty: of a bitmap, or None: all of the volume counts
    allocation: whether the server has ALLOCATION
    """

    dirty: str | None
    allocation: bool

    def names(self) -> list[str]:
        names = [] if self.dirty is None else [self.dirty]
        return names + [ALLOCATION] * self.allocation


def extents(ask: Ask, contexts: Contexts, size: int) -> Iterator[base.Extent]:
    """As base.Source.extents() has them, as long as they can be.

    :param ask: for the status of the blocks at an offset, of a length
    :raises DifferenceUnavailable: what the server says of the bitmap is wrong
    :raises ExtentsInvalid: what it says otherwise
    """
    if not contexts.names():
        if size:
            yield base.Extent(0, size, base.ExtentKind.DATA)
        return
    last: base.Extent | None = None
    for piece in _pieces(ask, contexts, size):
        if (
            last is not None
            and last.kind is piece.kind
            and last.offset + last.length == piece.offset
        ):
            last = last._replace(length=last.length + piece.length)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


def _pieces(ask: Ask, contexts: Contexts, size: int) -> Iterator[base.Extent]:
    position = 0
    while position < size:
        window = min(size - position, _WINDOW)
        told = _checked(ask(position, window), contexts, position, size)
        end = min(
            position + sum(length for length, _ in descriptors)
            for descriptors in told.values()
        )
        for offset, length, flags in _joined(
            [told[name] for name in contexts.names()], position, end
        ):
            if contexts.dirty is not None and not flags[0]:
                continue
            zero = contexts.allocation and flags[-1] & _READS_ZERO
            kind = base.ExtentKind.HOLE if zero else base.ExtentKind.DATA
            if kind is base.ExtentKind.DATA or contexts.dirty is not None:
                yield base.Extent(offset, length, kind)
        position = end


def _checked(
    answers: Sequence[tuple[str, int, list[int]]],
    contexts: Contexts,
    position: int,
    size: int,
) -> dict[str, Descriptors]:
    told: dict[str, Descriptors] = {}
    for name, offset, entries in answers:
        lengths = entries[::2]
        if (
            name not in contexts.names()
            or name in told
            or offset != position
            or not entries
            or len(entries) % 2
            or min(lengths) <= 0
            or sum(lengths) > size - position
        ):
            raise _invalid(contexts, name, position)
        told[name] = list(zip(lengths, entries[1::2], strict=True))
    for name in contexts.names():
        if name not in told:
            raise _invalid(contexts, name, position)
    return told


def _invalid(
    contexts: Contexts, name: str, position: int
) -> errors.ProductionError:
    said = (
        f'what the NBD server says of {name[:128]} at byte {position} is '
        'nothing, not what it was asked for, or leads past the end of the '
        'volume'
    )
    if contexts.dirty is not None:
        return errors.DifferenceUnavailable(said)
    return errors.ExtentsInvalid(f'{said}: is it a good server?')


def _joined(
    told: Sequence[Descriptors], start: int, end: int
) -> Iterator[tuple[int, int, list[int]]]:
    """Cut so that no flags change within a piece: offset, length, flags."""
    indexes = [0] * len(told)
    ends = [start + descriptors[0][0] for descriptors in told]
    position = start
    while position < end:
        stop = min(*ends, end)
        flags = [
            descriptors[index][1]
            for descriptors, index in zip(told, indexes, strict=True)
        ]
        yield position, stop - position, flags
        position = stop
        for number, descriptors in enumerate(told):
            if ends[number] == position < end:
                indexes[number] += 1
                ends[number] += descriptors[indexes[number]][0]
