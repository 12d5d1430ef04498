# SPDX-License-Identifier: Apache-2.0
"""What comes of some rounds in which ours, kernels and peers took turns."""

from collections.abc import Iterator
from typing import Any

from tests.benchmarks import contest

# Of one job in one round: contender -> figures.
Turn = dict[str, contest.Figures]
# Of each peer: what it is, see peers.at_hand().
About = dict[str, dict[str, Any]]
_COMPARED = ('wall_seconds', 'cpu_seconds', 'stored_bytes')


def answer(
    title: str, volume_size: int, turns: list[Turn], about: About
) -> contest.Answer:
    """:param volume_size: bytes"""
    samples = {name: [turn[name] for turn in turns] for name in turns[-1]}
    ours, kernels = samples.pop('ours'), samples.pop('kernels')
    size = {'volume_bytes': volume_size}
    return {
        'title': title,
        'rounds': len(turns),
        'figures': contest.medians(ours) | size,
        'peers': {
            'kernels': contest.medians(kernels),
            **{
                name: {**what, **contest.medians(samples[name]), **size}
                if name in samples
                else what
                for name, what in about.items()
            },
        },
        'ratios': {
            'kernels': {
                'cpu_seconds_to_kernels': contest.ratio(
                    [one['engine']['cpu_seconds'] for one in ours],
                    [one['cpu_seconds'] for one in kernels],
                )
            },
            **{
                name: _against(ours, others)
                for name, others in samples.items()
            },
            **{
                title: _walls_against(ours, others)
                for title, others in _fields(samples, about)
            },
        },
    }


def _fields(
    samples: dict[str, list[contest.Figures]], about: About
) -> Iterator[tuple[str, list[list[contest.Figures]]]]:
    """Peers of which only the fastest one counts."""
    if samples:
        yield 'fastest', list(samples.values())
    verifying = [
        others for name, others in samples.items() if about[name]['verifies']
    ]
    if verifying:
        yield 'fastest that verifies', verifying


def _against(
    ours: list[contest.Figures], others: list[contest.Figures]
) -> dict[str, Any]:
    names = [name for name in _COMPARED if name in others[-1]]
    return {
        **contest.ratios(others, ours, *names),
        **_walls_against(ours, [others]),
    }


def _walls_against(
    ours: list[contest.Figures], field: list[list[contest.Figures]]
) -> dict[str, Any]:
    """Of a field the fastest one counts, round by round."""
    rounds = list(zip(*field, strict=True))
    walls = [min(one['wall_seconds'] for one in each) for each in rounds]
    return {
        'wall_seconds': contest.ratio(
            walls, [one['wall_seconds'] for one in ours]
        ),
        'durable_wall_seconds': contest.ratio(
            [min(map(contest.durable, each)) for each in rounds],
            [contest.durable(one) for one in ours],
        ),
        'engine_wall_seconds': contest.ratio(
            walls, [one['engine']['wall_seconds'] for one in ours]
        ),
    }
