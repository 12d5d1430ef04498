# SPDX-License-Identifier: Apache-2.0
"""What comes of contenders that took turns.

A machine's speed changes with what its neighbours do, so only what was
measured in the same round is divided by each other; of a round's figures, and
of the rounds' ratios, the median counts.
"""

from collections.abc import Sequence
import statistics
from typing import Any

# Name -> number, of one run of one contender.
Figures = dict[str, Any]
# What tools/bench writes of a benchmark: title, figures (ours), peers (name ->
# figures, or why it was left out), ratios (name -> name -> median and rounds).
Answer = dict[str, Any]


def medians(samples: Sequence[Figures]) -> Figures:
    """Of what all samples have; what is no number is taken from the last."""
    return {
        name: _median([sample[name] for sample in samples])
        for name in samples[-1]
        if all(name in sample for sample in samples)
    }


def ratios(
    above: Sequence[Figures], below: Sequence[Figures], *names: str
) -> dict[str, Any]:
    """Name -> how many times what is above is what is below."""
    return {
        name: ratio(
            [sample[name] for sample in above],
            [sample[name] for sample in below],
        )
        for name in names
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, Any]:
    rounds = [a / b for a, b in zip(above, below, strict=True) if b]
    return {
        'median': statistics.median(rounds) if rounds else None,
        'rounds': rounds,
    }


def durable(sample: Figures) -> float:
    """Wall seconds until what a contender wrote was durable."""
    seconds: float = sample['wall_seconds'] + sample.get('flush_seconds', 0.0)
    return seconds


def _median(values: list[Any]) -> Any:
    if isinstance(values[-1], dict):
        return medians(values)
    if isinstance(values[-1], int | float):
        return statistics.median(values)
    return values[-1]
