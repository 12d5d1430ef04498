# SPDX-License-Identifier: Apache-2.0
"""What happens in a round: chosen by the seed and the round's number alone.

So what one round comes to does not change what the next ones are made of.
What an operation is done to depends on what there is by then, and is chosen by
fractions that come from the seed, too: see model.
"""

import dataclasses
import random

# How often each comes, in proportion.
OPERATIONS = {
    'backup': 6,
    'incremental': 6,
    'snapshot': 3,  # a backup of a snapshot
    'in-use': 3,  # a backup of a volume that is attached
    'grow': 2,  # a backup of a volume that has become larger
    'cancel': 3,  # a backup that is deleted while it is being made
    'restore-new': 6,
    'restore-over': 6,
    'delete': 6,
    'collect': 3,
    'check': 2,
}
# To what faults happen, by the lab's profile, and what they are; each is as
# likely, what is named twice twice as much. "pause" is SIGSTOP, and SIGCONT
# later; a snapshot of ours is removed, or replaced by somebody else's of the
# same name.
_ENDS = ('kill', 'stop')
FAULTS = {
    'processes': {
        'ebackup-api': _ENDS,
        'ebackup-server': (*_ENDS, 'pause'),
        'ebackup-server-2': (*_ENDS, 'pause'),
        'ebackup-proxy': (*_ENDS, 'pause', 'pause'),
        'ebackup-proxy-2': (*_ENDS, 'pause', 'pause'),
        'cinder-backup': _ENDS,
        'rabbitmq': _ENDS,
        'mariadb': _ENDS,
    },
    'ceph': {
        'ebackup': _ENDS,
        'cinder': _ENDS,
        'ceph-osd': ('kill', 'stop', 'pause'),
        'ceph-mon': ('kill', 'stop', 'pause'),
        'snapshot': ('remove', 'replace'),
    },
}
# Of ten rounds, so many have no fault: there everything has to succeed.
_QUIET = 2
# Of ten rounds, so many have two operations beside each other.
_PAIRS = 5
# Seconds, at most: how long after the operations a fault begins, and how long
# the service then stays away.
_LATEST = 3.0
_LONGEST = 3.0
# Seconds, at most, for which a server or a proxy stands still: seldom for less
# than a lease; mostly for so long that a proxy's job goes on elsewhere, and
# may end there.
_LONGEST_PAUSE = 16.0
# Of ten rounds, in so many Cinder exports volumes, of which either proxy has
# the jobs then; else they are attached, and one proxy has them all.
_EXPORTED = 8
# Bytes: with three workers and the lab's chunks, a backup works in stages of
# one leaf, of three, or of seven.
WORKERS = 3
_CHECKPOINT_SIZES = (64 << 20, 192 << 20, 320 << 20)


@dataclasses.dataclass(frozen=True)
class Operation:
    """subject and other: fractions below 1 that choose among what there is.

    seed: of what is written
    """

    kind: str
    subject: float
    other: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens, to a service or to "snapshot".

    verb: kill (SIGKILL), stop (SIGTERM), pause (SIGSTOP); remove, replace
    after and away: seconds; if a proxy stands still, after it has begun a job,
        if it begins one
    """

    verb: str
    subject: str
    after: float
    away: float

    def __str__(self) -> str:
        text = f'{self.verb} {self.subject} after {self.after:.1f} s'
        if self.subject == 'snapshot':
            return text
        return f'{text}, for {self.away:.1f} s'


@dataclasses.dataclass(frozen=True)
class Round:
    """exported: whether Cinder exports what it can to proxies"""

    number: int
    operations: tuple[Operation, ...]
    fault: Fault | None
    exported: bool = False


def checkpoint_size(seed: int) -> int:
    """Return that of all proxies in a run."""
    return random.Random(f'{seed}/checkpoint').choice(_CHECKPOINT_SIZES)


def choose(seed: int, number: int, profile: str) -> Round:
    """Return a round, the same one for the same numbers and profile."""
    source = random.Random(f'{seed}/{number}')
    count = 2 if source.randrange(10) < _PAIRS else 1
    operations = tuple(_operation(source) for _ in range(count))
    quiet = source.randrange(10) < _QUIET
    fault = None if quiet else _fault(source, FAULTS[profile])
    exported = source.randrange(10) < _EXPORTED
    return Round(number, operations, fault, exported)


def _operation(source: random.Random) -> Operation:
    [kind] = source.choices(list(OPERATIONS), list(OPERATIONS.values()))
    return Operation(
        kind, source.random(), source.random(), source.getrandbits(64)
    )


def _fault(source: random.Random, faults: dict[str, tuple[str, ...]]) -> Fault:
    subject, verb = source.choice(
        [(subject, verb) for subject in faults for verb in faults[subject]]
    )
    after, away = source.random(), source.random()
    if verb == 'pause' and subject.startswith('ebackup-'):
        # A job that begins waits for its lease first, then takes some seconds.
        return Fault(
            verb, subject, _LATEST * after, _LONGEST_PAUSE * away**0.5
        )
    # Half of them begin in the first eighth of the time, since most of what
    # has to be right happens when jobs begin or are short.
    return Fault(verb, subject, _LATEST * after**3, _LONGEST * away)
