# SPDX-License-Identifier: Apache-2.0
"""Typed members of documents; all raise ValueError and name the member."""

from collections.abc import Mapping
import datetime
from typing import Any

from ebackup_service.repository import layout
from ebackup_service.repository import location

_I64 = 2**63 - 1


def text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise ValueError(f'{name} is no string')
    return value


def text_or_none(content: Mapping[str, Any], name: str) -> str | None:
    return None if content.get(name) is None else text(content, name)


def uuid_text(content: Mapping[str, Any], name: str) -> str:
    value = text(content, name)
    if not layout.is_uuid(value):
        raise ValueError(f'{name} is no UUID')
    return value


def number(content: Mapping[str, Any], name: str, most: int = _I64) -> int:
    """An integer from 0 to ``most``."""
    value = content.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f'{name} is no integer from 0 to {most}')
    return value


def mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    if not isinstance(value, dict):
        raise ValueError(f'{name} is no object')
    return value


def texts(content: Mapping[str, Any], name: str) -> list[str]:
    value = content.get(name)
    if not isinstance(value, list) or not all(
        isinstance(item, str) for item in value
    ):
        raise ValueError(f'{name} is no list of strings')
    return value


def numbers(
    content: Mapping[str, Any], name: str, most: int = _I64
) -> list[int]:
    """A list of integers from 0 to ``most``."""
    value = content.get(name)
    if not isinstance(value, list) or not all(
        type(item) is int and 0 <= item <= most for item in value
    ):
        raise ValueError(f'{name} is no list of integers from 0 to {most}')
    return value


def mappings(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = content.get(name)
    if not isinstance(value, list) or not all(
        isinstance(item, dict) for item in value
    ):
        raise ValueError(f'{name} is no list of objects')
    return value


def locator_or_none(
    content: Mapping[str, Any], name: str
) -> location.Locator | None:
    value = content.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f'{name} is no locator')
    return location.Locator.from_json(value)


def now() -> str:
    """This instant as documents have it: ISO 8601, UTC, whole seconds."""
    instant = datetime.datetime.now(datetime.UTC)
    return instant.strftime('%Y-%m-%dT%H:%M:%SZ')
