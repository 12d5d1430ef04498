# SPDX-License-Identifier: Apache-2.0
"""Every state that a power loss may leave of a file system.

The weakest promises that a POSIX file system is used with:

* what fsync() of a file has returned for is there, if the file is;
* what fsync() of a directory has returned for is there: its names, and what
  they mean, if the directory itself is;
* nothing else. Each name that was made, replaced or removed since its
  directory was synced may have any of the meanings that it has had since,
  whatever became of other names: in the same directory, in others, of the
  same file. So a link may be there without what was done before it, a rename
  may be half done, what was deleted may be back, and a directory that was
  never synced above takes all below it away. Bytes that weren't synced may be
  missing, cut off, zeros, or of somebody else.

The state after n calls differs from those after n - 1 only where the last one
shows. So only these are made, and every state once for every fact that was
noted: what somebody relies on by then.

Where the choices at one instant multiply to more than ``limit`` states, they
are not all made, but all that differ in up to ``changes`` choices from the
newest and the oldest, and some others at random. One choice is enough to show
a missing sync, two to show a wrong order of two calls.
"""

from collections.abc import Iterable, Iterator
import itertools
import math
import random
from typing import Any, NamedTuple, TypeAlias

from tests.unit.ebackup_service.repository.storage import disk

# Like disk.Disk.tree().
Remains: TypeAlias = dict[str, bytes | None]
# What may be one or the other: a name in a directory, or a file's bytes.
_Place: TypeAlias = tuple[int, str] | int
# By place, which of its states, from the oldest on; or how many it has.
_Choice: TypeAlias = dict[_Place, int]

_BLOCK = 4096
_GARBAGE = bytes(range(255, 0, -1)) * 17


class Loss(NamedTuple):
    """One state: what is left, and the last fact that was noted before."""

    remains: Remains
    fact: Any
    calls: int


def losses(
    log: Iterable[disk.Event],
    generator: random.Random,
    since: int = 0,
    share: float = 1.0,
    limit: int = 1024,
    changes: int = 2,
    sample: int = 32,
) -> Iterator[Loss]:
    """All states after each call of a log, each once for each fact.

    :param since: how many calls at the beginning to pass over
    :param share: of the calls to look at, drawn at random
    :param limit: states after one call up to which all are made
    :param changes: from the newest and the oldest state, where there are more
    :param sample: how many others are drawn at random there
    """
    seen = set()
    history = _History()
    fact = None
    for calls, event in enumerate(log, 1):
        history.add(event)
        if isinstance(event, disk.Noted):
            fact = event.fact
        if calls <= since or generator.random() >= share:
            continue
        counts = history.open_places()
        fixed: _Choice = {}
        if isinstance(event, disk.Named):
            place = event.directory, event.name
            fixed[place] = counts.pop(place, 1) - 1
        elif isinstance(event, disk.Synced | disk.Settled):
            # There is less to choose from than before, and nothing new.
            continue
        if math.prod(counts.values()) <= limit:
            choices = _all(counts)
        else:
            choices = itertools.chain(
                _near(counts, changes), _drawn(counts, generator, sample)
            )
        for choice in choices:
            remains = history.remains({**choice, **fixed})
            key = frozenset(remains.items()), id(fact)
            if key not in seen:
                seen.add(key)
                yield Loss(remains, fact, calls)


def _all(counts: _Choice) -> Iterator[_Choice]:
    for choice in itertools.product(*map(range, counts.values())):
        yield dict(zip(counts, choice, strict=True))


def _near(counts: _Choice, changes: int) -> Iterator[_Choice]:
    """The newest and the oldest, and what differs little from them."""
    oldest = dict.fromkeys(counts, 0)
    newest = {place: count - 1 for place, count in counts.items()}
    for end in (newest, oldest):
        for number in range(changes + 1):
            for places in itertools.combinations(counts, number):
                for choice in _all({place: counts[place] for place in places}):
                    yield {**end, **choice}


def _drawn(
    counts: _Choice, generator: random.Random, sample: int
) -> Iterator[_Choice]:
    """Some of all, some nearly new, some nearly old."""
    for _ in range(sample):
        age = generator.random()
        yield {
            place: generator.randrange(count)
            if generator.random() < age
            else count - 1
            for place, count in counts.items()
        }


class _History:
    """What each name has meant since it was last durable, and each byte."""

    def __init__(self) -> None:
        self._directories: dict[int, dict[str, list[int | None]]] = {
            disk.TOP: {}
        }
        self._files: dict[int, bytes] = {}
        self._durable: dict[int, bytes] = {}

    def add(self, event: disk.Event) -> None:
        match event:
            case disk.Made(node, True):
                self._directories[node] = {}
            case disk.Made(node, False):
                self._files[node] = self._durable[node] = b''
            case disk.Named(directory, name, node):
                names = self._directories[directory]
                names.setdefault(name, [None]).append(node)
            case disk.Written(file, data):
                self._files[file] += data
            case disk.Synced(node):
                self._sync(node)
            case disk.Settled():
                for node in [*self._directories, *self._files]:
                    self._sync(node)

    def open_places(self) -> _Choice:
        """Places that may be in more than one way, and in how many."""
        counts: _Choice = {}
        for directory, names in self._directories.items():
            for name, meanings in names.items():
                if len(meanings) > 1:
                    counts[directory, name] = len(meanings)
        for file, whole in self._files.items():
            if len(self._durable[file]) != len(whole):
                counts[file] = len(self._variants(file))
        return counts

    def remains(self, choice: _Choice) -> Remains:
        """What is left if each place is as chosen."""
        found: Remains = {}
        self._collect('', disk.TOP, choice, found)
        return found

    def _collect(
        self,
        path: str,
        directory: int,
        choice: _Choice,
        found: Remains,
    ) -> None:
        for name, meanings in self._directories[directory].items():
            node = meanings[choice.get((directory, name), -1)]
            if node is None:
                continue
            below = f'{path}/{name}' if path else name
            if node in self._files:
                found[below] = self._bytes(node, choice)
            else:
                found[below] = None
                self._collect(below, node, choice, found)

    def _bytes(self, file: int, choice: _Choice) -> bytes:
        if file not in choice:
            return self._files[file]
        return self._variants(file)[choice[file]]

    def _sync(self, node: int) -> None:
        if node in self._files:
            self._durable[node] = self._files[node]
            return
        names = self._directories[node]
        for name, meanings in [*names.items()]:
            del meanings[:-1]
            if meanings == [None]:
                del names[name]

    def _variants(self, file: int) -> list[bytes]:
        """What may be left of a file, the newest last."""
        whole = self._files[file]
        safe = self._durable[file]
        lost = len(whole) - len(safe)
        cut = len(safe) + lost // 2 // _BLOCK * _BLOCK
        garbage = (_GARBAGE * (lost // len(_GARBAGE) + 1))[:lost]
        variants = [safe, whole[:cut], safe + bytes(lost), safe + garbage]
        return [*dict.fromkeys(variants), whole]
