# SPDX-License-Identifier: Apache-2.0
"""Prints what commands found: tables for people, JSON for programs."""

from collections.abc import Sequence
import json
import sys
from typing import Any

import prettytable

UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')


class Output:
    """Where a command's answer goes; one answer a command."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def many(
        self,
        name: str,
        objects: Sequence[dict[str, Any]],
        columns: Sequence[str],
    ) -> None:
        """Print a list: of everything as JSON, of these columns as table."""
        if self._as_json:
            self._json({name: objects})
            return
        table = prettytable.PrettyTable(columns)
        table.align = 'l'
        for found in objects:
            table.add_row([cell(column, found[column]) for column in columns])
        print(table)

    def one(self, **objects: dict[str, Any] | None) -> None:
        """Print named objects, one below the other."""
        if self._as_json:
            self._json(objects)
            return
        for name, found in objects.items():
            if found is not None:
                print(f'{name}:')
                print(_details(found))

    def note(self, text: str) -> None:
        """Tell people something that is no part of the answer."""
        if not self._as_json:
            print(text, file=sys.stderr)

    def _json(self, document: Any) -> None:
        print(json.dumps(document, indent=2, sort_keys=True))


def _details(found: dict[str, Any]) -> prettytable.PrettyTable:
    table = prettytable.PrettyTable(['field', 'value'])
    table.align = 'l'
    for field, value in found.items():
        table.add_row([field, cell(field, value)])
    return table


def cell(column: str, value: Any) -> str:
    """Return a value as people read it."""
    if value is None:
        return ''
    if isinstance(value, dict):
        return '\n'.join(
            f'{key}: {_nested(key, inner)}'
            for key, inner in value.items()
            if inner is not None
        )
    if isinstance(value, list):
        if value and all(isinstance(item, int) for item in value):
            return ', '.join(map(str, value))
        return '\n'.join(cell('', item) for item in value)
    if isinstance(value, int) and _counts_bytes(column):
        return size(value)
    return str(value)


def _nested(key: str, value: Any) -> str:
    text = cell(key, value)
    if isinstance(value, dict | list) and text:
        return '\n  ' + text.replace('\n', '\n  ')
    return text


def _counts_bytes(column: str) -> bool:
    return 'bytes' in column or column in (
        'size',
        'chunk_size',
        'total',
        'free',
        'used',
    )


def size(number: int) -> str:
    """Return a number of bytes with the unit that leaves it readable."""
    amount = float(number)
    for unit in UNITS:
        if amount < 1024 or unit == UNITS[-1]:
            break
        amount /= 1024
    return f'{number} B' if unit == 'B' else f'{amount:.1f} {unit}'
