# SPDX-License-Identifier: Apache-2.0
"""How commands show what they found."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cliff import columns
from osc_lib.command import command

from ebackup_driver import client as clients

_UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')

Table = tuple[Sequence[str], Iterable[Sequence[Any]]]
Fields = tuple[Sequence[str], Sequence[Any]]


class Bytes(columns.FormattableColumn[float | None]):
    """A number of bytes: in units for people, as it is for programs."""

    def human_readable(self) -> str:
        return in_units(self._value)

    def machine_readable(self) -> float | None:
        return self._value


class Document(columns.FormattableColumn[Any]):
    """Something structured: flat for people, nested for programs.

    On one line, or on one for each document of a list.
    """

    def human_readable(self) -> str:
        if isinstance(self._value, Mapping):
            return ', '.join(
                f'{key}={value}'
                for key, value in self._value.items()
                if value is not None
            )
        if isinstance(self._value, list):
            if any(isinstance(item, Mapping) for item in self._value):
                lines = (
                    Document(item).human_readable() for item in self._value
                )
                return '\n'.join(lines)
            return ', '.join(map(str, self._value))
        return '' if self._value is None else str(self._value)

    def machine_readable(self) -> Any:
        return self._value


def in_units(count: float | None) -> str:
    """Return bytes in binary units, with one decimal."""
    if count is None:
        return ''
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    if unit == 0:
        return f'{count:.0f} B'
    return f'{size:.1f} {_UNITS[unit]}'


def fields(resource: Mapping[str, Any], sizes: Iterable[str] = ()) -> Fields:
    """Return a resource as ShowOne wants it; sizes: fields in bytes."""
    shown = set(sizes)
    return tuple(resource), tuple(
        _column(value, name in shown) for name, value in resource.items()
    )


def table(
    columns: Mapping[str, str],
    resources: Iterable[Mapping[str, Any]],
    sizes: Iterable[str] = (),
) -> Table:
    """Return resources as Lister wants them.

    columns: the field of each heading; sizes: fields in bytes
    """
    shown = set(sizes)
    rows = (
        tuple(_column(r.get(f), f in shown) for f in columns.values())
        for r in resources
    )
    return tuple(columns), rows


def _column(value: Any, is_size: bool) -> Any:
    if is_size:
        return Bytes(value)
    if isinstance(value, Mapping | list):
        return Document(value)
    return value


class _Command:
    """Has the client of the service, and --json."""

    @property
    def client(self) -> clients.Client:
        return self.app.client_manager.ebackup  # type: ignore[attr-defined]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)  # type: ignore[misc]
        parser.add_argument(
            '--json',
            dest='formatter',
            action='store_const',
            const='json',
            default=argparse.SUPPRESS,
            help='the same as -f json',
        )
        return parser


class Lister(_Command, command.Lister):
    """Shows a table."""


class ShowOne(_Command, command.ShowOne):
    """Shows one thing.

    exit_code: set by a command that shows its result although it is bad
    """

    exit_code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        return super().run(parsed_args) or self.exit_code
