# SPDX-License-Identifier: Apache-2.0
"""The table that people read."""

from typing import Any

HEADINGS = (
    'benchmark',
    'MB/s of volume',
    'CPU s',
    'kernels CPU s',
    'ratio',
    'anon. MiB',
    'of the kernels',
)


def table(answers: dict[str, dict[str, Any]]) -> str:
    """One line a benchmark; see runner.report()."""
    rows = [HEADINGS, *(_row(name, answers[name]) for name in answers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(
            cell.ljust(width)
            if number in (0, len(row) - 1)
            else cell.rjust(width)
            for number, (cell, width) in enumerate(
                zip(row, widths, strict=True)
            )
        ).rstrip()
        for row in rows
    )


def _row(name: str, answer: dict[str, Any]) -> tuple[str, ...]:
    figures, kernels = answer['figures'], answer['peers']['kernels']
    return (
        name,
        f'{figures["mb_per_second"]:.0f}',
        f'{figures["cpu_seconds"]:.2f}',
        f'{kernels["cpu_seconds"]:.2f}',
        f'{answer["ratios"]["cpu_seconds_to_kernels"]:.2f}',
        f'{figures["peak_anonymous_bytes"] / (1 << 20):.0f}',
        ', '.join(
            f'{kernel} {seconds:.2f}'
            for kernel, seconds in kernels['by_kernel'].items()
        ),
    )
