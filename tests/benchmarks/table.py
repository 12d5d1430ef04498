# SPDX-License-Identifier: Apache-2.0
"""The table that people read."""

from collections.abc import Callable
from typing import Any

from tests.benchmarks import contest

Row = tuple[str, dict[str, Any], dict[str, Any]]  # name, figures, ratios
Cell = Callable[[dict[str, Any], dict[str, Any]], str]


def table(answers: dict[str, contest.Answer]) -> str:
    """A part for each benchmark: ours, and each of the others."""
    return '\n\n'.join(_part(name, answer) for name, answer in answers.items())


def _part(name: str, answer: contest.Answer) -> str:
    if 'failed' in answer:
        return f'{name}: FAILED: {answer["failed"]}'
    rows = _rows(answer)
    columns = [
        (heading, cells)
        for heading, cell in _COLUMNS
        if any(cells := [cell(figures, ratios) for _, figures, ratios in rows])
    ]
    grid = [
        ('', *(heading for heading, _ in columns)),
        *(
            (row[0], *(cells[number] or '-' for _, cells in columns))
            for number, row in enumerate(rows)
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = [
        '  '.join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(
                zip(line, widths, strict=True)
            )
        ).rstrip()
        for line in grid
    ]
    return '\n'.join(
        [
            f'{name}: {answer["title"]} (medians of {answer["rounds"]})',
            *lines,
            *_remarks(answer),
        ]
    )


def _rows(answer: contest.Answer) -> list[Row]:
    ratios = answer['ratios']
    rows: list[Row] = [('ours', answer['figures'], ratios.get('ours', {}))]
    if 'engine' in answer['figures']:
        size = answer['figures'].get('volume_bytes')
        engine = {**answer['figures']['engine'], 'volume_bytes': size}
        rows.append(('its engine alone', engine, {}))
    rows += [
        (f'its {name}', figures, {})
        for name, figures in answer['figures'].get('processes', {}).items()
    ]
    for name, figures in answer['peers'].items():
        if 'cpu_seconds' in figures:
            rows.append((name, figures, ratios.get(name, {})))
    rows += [
        (name, {}, ratios[name])
        for name in ratios
        if name not in ('ours', *answer['peers'])
    ]
    return rows


def _remarks(answer: contest.Answer) -> list[str]:
    lines = []
    for name, figures in answer['peers'].items():
        if 'missing' in figures:
            lines.append(f'{name} is left out: {figures["missing"]}')
        elif 'version' in figures and 'cpu_seconds' not in figures:
            lines.append(f'{name} can not do that')
        elif 'version' in figures:
            lines.append(f'{figures["version"]}: {figures["options"]}')
        if 'by_kernel' in figures:
            ratio = answer['ratios'][name]['cpu_seconds_to_kernels']['median']
            share = ', '.join(
                f'{kernel} {seconds:.2f}'
                for kernel, seconds in figures['by_kernel'].items()
            )
            lines.append(f"engine's CPU: {ratio:.2f} x the kernels' ({share})")
    return [*lines, *answer.get('remarks', [])]


def _number(key: str, form: str, unit: float = 1) -> Cell:
    def cell(figures: dict[str, Any], ratios: dict[str, Any]) -> str:
        value = figures.get(key)
        return '' if value is None else format(value / unit, form)

    return cell


def _ratio(key: str) -> Cell:
    def cell(figures: dict[str, Any], ratios: dict[str, Any]) -> str:
        value = ratios.get(key, {}).get('median')
        return '' if value is None else f'{value:.2f}'

    return cell


def _rate(figures: dict[str, Any], ratios: dict[str, Any]) -> str:
    if not figures.get('wall_seconds') or not figures.get('volume_bytes'):
        return ''
    return f'{figures["volume_bytes"] / figures["wall_seconds"] / 1e6:.0f}'


# Of the ratios, x is times ours, or times that engine alone takes.
_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ('wall s', _number('wall_seconds', '.2f')),
    ('MB/s', _rate),
    ('CPU s', _number('cpu_seconds', '.2f')),
    ('flush s', _number('flush_seconds', '.2f')),
    ('changed MB', _number('changed_bytes', '.1f', 1e6)),
    ('read MB', _number('read_bytes', '.1f', 1e6)),
    ('OSD MB', _number('served_bytes', '.1f', 1e6)),
    ('OSD CPU s', _number('osd_cpu_seconds', '.2f')),
    ('written MB', _number('bytes_written', '.1f', 1e6)),
    ('stored MB', _number('stored_bytes', '.1f', 1e6)),
    ('meta kB', _number('metadata_bytes', '.1f', 1e3)),
    ('freed MB', _number('removed_bytes', '.1f', 1e6)),
    ('anon MiB', _number('peak_anonymous_bytes', '.1f', 1 << 20)),
    ('others', _number('other_cores', '.1f')),
    ('wall x', _ratio('wall_seconds')),
    ('durable x', _ratio('durable_wall_seconds')),
    ('CPU x', _ratio('cpu_seconds')),
    ('engine wall x', _ratio('engine_wall_seconds')),
    ('net wall x', _ratio('net_wall_seconds')),
    ('read x', _ratio('read_bytes')),
    ('written x', _ratio('written_bytes')),
    ('stored x', _ratio('stored_bytes')),
    ('meta x', _ratio('metadata_bytes')),
    ('anon x', _ratio('peak_anonymous_bytes')),
)
