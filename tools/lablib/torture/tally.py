# SPDX-License-Identifier: Apache-2.0
"""What the rounds came to, in lines and as a summary."""

import collections
from collections.abc import Iterable
import time
from typing import Any, Protocol

from lablib.torture import plan


class Result(Protocol):
    outcome: str

    @property
    def kind(self) -> str: ...


class Tally:
    def __init__(self, seed: int, wanted: int) -> None:
        self.seed = seed
        self.wanted = wanted
        self.rounds = 0
        # What had to be put right, or is worth knowing, and is no violation.
        self.notes: list[str] = []
        self.violations: list[str] = []
        # Bytes that remained in the repository; None: it did not come to that.
        self.remainder: int | None = None
        self._started = time.monotonic()
        self._operations: dict[str, collections.Counter[str]] = {}
        self._faults: collections.Counter[str] = collections.Counter()

    def add(self, chosen: plan.Round, results: Iterable[Result]) -> None:
        self.rounds += 1
        for result in results:
            outcomes = self._operations.setdefault(
                result.kind, collections.Counter()
            )
            outcomes[result.outcome] += 1
        if chosen.fault is not None:
            self._faults[f'{chosen.fault.verb} {chosen.fault.subject}'] += 1

    def line(
        self, chosen: plan.Round, results: Iterable[object], seconds: float
    ) -> str:
        """Return the line of a round."""
        what = '; '.join(map(str, results)) or 'nothing'
        return (
            f'round {chosen.number:>3}/{self.wanted}{seconds:7.1f} s  '
            f'{what} | {chosen.fault or "no fault"}'
        )

    def summary(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._started
        return {
            'seed': self.seed,
            'rounds': self.rounds,
            'seconds': round(seconds, 1),
            'operations': {
                kind: dict(sorted(outcomes.items()))
                for kind, outcomes in sorted(self._operations.items())
            },
            'faults': dict(sorted(self._faults.items())),
            'remainder': self.remainder,
            'notes': self.notes,
            'violations': self.violations,
        }

    def text(self) -> str:
        """Return the summary for people."""
        found = self.summary()
        lines = [
            f'  {kind:14}'
            + ', '.join(f'{count} {word}' for word, count in counts.items())
            for kind, counts in found['operations'].items()
        ]
        lines += [
            f'  {count:3} x {fault}'
            for fault, count in found['faults'].items()
        ]
        if self.remainder is not None:
            lines.append(
                f'  {self.remainder} bytes more than at the beginning remain '
                'in the repository'
            )
        lines += [f'  note: {note}' for note in self.notes]
        lines += [f'  VIOLATION {text}' for text in self.violations]
        verdict = 'FAILED' if self.violations else 'nothing was violated'
        lines.append(
            f'seed {self.seed}: {self.rounds} rounds in '
            f'{found["seconds"]:.0f} s, {verdict}'
        )
        return '\n'.join(lines)
