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
# To what faults happen, by the lab's profile, and what they are. "pause" is
# SIGSTOP, and SIGCONT later; a snapshot of ours is removed, or replaced by
# somebody else's of the same name.
_ENDS = ('kill', 'stop')
FAULTS = {
    'processes': {
        'ebackup-api': _ENDS,
        'ebackup-server': _ENDS,
        'ebackup-server-2': _ENDS,
        'ebackup-proxy': _ENDS,
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
    after and away: seconds
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
    number: int
    operations: tuple[Operation, ...]
    fault: Fault | None


def choose(seed: int, number: int, profile: str) -> Round:
    """Return a round, the same one for the same numbers and profile."""
    source = random.Random(f'{seed}/{number}')
    count = 2 if source.randrange(10) < _PAIRS else 1
    operations = tuple(_operation(source) for _ in range(count))
    quiet = source.randrange(10) < _QUIET
    fault = None if quiet else _fault(source, FAULTS[profile])
    return Round(number, operations, fault)


def _operation(source: random.Random) -> Operation:
    [kind] = source.choices(list(OPERATIONS), list(OPERATIONS.values()))
    return Operation(
        kind, source.random(), source.random(), source.getrandbits(64)
    )


def _fault(source: random.Random, faults: dict[str, tuple[str, ...]]) -> Fault:
    subject = source.choice(list(faults))
    return Fault(
        source.choice(faults[subject]),
        subject,
        # Half of them begin in the first eighth of the time, since most of
        # what has to be right happens when jobs begin or are short.
        _LATEST * source.random() ** 3,
        _LONGEST * source.random(),
    )
