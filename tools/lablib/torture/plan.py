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
    'cancel': 3,  # a backup that is deleted while it is being made
    'restore-new': 6,
    'restore-over': 6,
    'delete': 6,
    'collect': 3,
    'check': 2,
}
SERVICES = (
    'ebackup-api',
    'ebackup-server',
    'ebackup-server-2',
    'ebackup-proxy',
    'cinder-backup',
    'rabbitmq',
    'mariadb',
)
VERBS = ('kill', 'stop')
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
    """verb: kill (SIGKILL) or stop (SIGTERM); after and away: seconds."""

    verb: str
    service: str
    after: float
    away: float

    def __str__(self) -> str:
        return (
            f'{self.verb} {self.service} after {self.after:.1f} s, '
            f'for {self.away:.1f} s'
        )


@dataclasses.dataclass(frozen=True)
class Round:
    number: int
    operations: tuple[Operation, ...]
    fault: Fault | None


def choose(seed: int, number: int) -> Round:
    """Return a round, the same one for the same two numbers."""
    source = random.Random(f'{seed}/{number}')
    count = 2 if source.randrange(10) < _PAIRS else 1
    operations = tuple(_operation(source) for _ in range(count))
    fault = _fault(source) if source.randrange(10) >= _QUIET else None
    return Round(number, operations, fault)


def _operation(source: random.Random) -> Operation:
    [kind] = source.choices(list(OPERATIONS), list(OPERATIONS.values()))
    return Operation(
        kind, source.random(), source.random(), source.getrandbits(64)
    )


def _fault(source: random.Random) -> Fault:
    return Fault(
        source.choice(VERBS),
        source.choice(SERVICES),
        # Half of them begin in the first eighth of the time, since most of
        # what has to be right happens when jobs begin or are short.
        _LATEST * source.random() ** 3,
        _LONGEST * source.random(),
    )
