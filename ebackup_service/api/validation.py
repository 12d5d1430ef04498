# SPDX-License-Identifier: Apache-2.0
"""Checks bodies and query parameters against JSON schemas."""

import json
import math
import re
from typing import Any

import jsonschema
from jsonschema import exceptions as schema_errors

from ebackup_service.api import errors
from ebackup_service.api import request

Schema = dict[str, Any]
NOTHING: Schema = {'type': 'object', 'additionalProperties': False}
# Beyond this, what jsonschema says quotes a value at length.
LONGEST_REASON = 160
DEEPEST = 32
_NUMBER = re.compile(r'[0-9]{1,9}(\.[0-9]{1,9})?')
# Of these jsonschema names members; of all others it quotes the value.
NAMING = ('additionalProperties', 'required')


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# 1.0 is an integer to JSON schema, but not to a database column.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        'integer', _is_integer
    ),
)


def body(
    req: request.Request, schema: Schema, secret: bool = False
) -> dict[str, Any]:
    """Return the request's JSON body.

    Raises UnsupportedMediaType, or BadRequest with the name of the field
    that is wrong; ``secret``: and never what its value was.
    """
    if req.content_type != 'application/json':
        raise errors.UnsupportedMediaType(
            'the body has to be JSON: send Content-Type: application/json'
        )
    document: dict[str, Any] = _parse(req.body)
    check(document, schema, 'body', secret)
    return document


def no_body(req: request.Request) -> None:
    """Refuse a body that says more than the path does."""
    if req.body:
        body(req, NOTHING)


def query(req: request.Request, schema: Schema) -> dict[str, Any]:
    """Return the query's parameters; numbers and booleans converted.

    Raises BadRequest for a parameter that is unknown, wrong, or given twice.
    """
    found: dict[str, Any] = {}
    try:
        items = list(req.GET.items())
    except UnicodeDecodeError:
        raise errors.BadRequest('the query is not UTF-8') from None
    for name, value in items:
        if name in found:
            raise errors.BadRequest(f'query.{name} is given twice')
        found[name] = _convert(value, schema['properties'].get(name, {}))
    check(found, schema, 'query')
    return found


def check(
    document: Any, schema: Schema, place: str, secret: bool = False
) -> None:
    """Raise BadRequest unless the document satisfies the schema."""
    error = schema_errors.best_match(_Validator(schema).iter_errors(document))
    if error is not None:
        field = '.'.join([place, *map(str, error.absolute_path)])
        raise errors.BadRequest(f'{field}: {_reason(error, secret)}')
    _check_storable(document, place, DEEPEST)


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode('utf-8'),
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError:
        raise errors.BadRequest('body: is not UTF-8') from None
    except RecursionError:
        raise errors.BadRequest('body: is nested too deeply') from None
    except ValueError as error:
        raise errors.BadRequest(f'body: is not JSON: {error}') from None


def _no_constant(name: str) -> None:
    raise ValueError(f'{name} is no JSON number')


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError('a number is too large')
    return value


def _reason(error: jsonschema.ValidationError, secret: bool) -> str:
    hidden = secret and error.validator not in NAMING
    if len(error.message) <= LONGEST_REASON and not hidden:
        return error.message
    return f'does not satisfy {error.validator} {error.validator_value!r}'


def _convert(value: str, schema: Schema) -> Any:
    # What does not convert is left for the schema to refuse.
    kind = schema.get('type')
    if kind == 'integer' and value.isascii() and value.isdigit():
        return int(value[:20])
    if kind == 'number' and _NUMBER.fullmatch(value):
        return float(value)
    if kind == 'boolean' and value.lower() in ('true', 'false'):
        return value.lower() == 'true'
    return value


def _check_storable(value: Any, place: str, depth: int) -> None:
    """Refuse what a database or a later reader could not hold."""
    if depth == 0:
        raise errors.BadRequest(f'{place[:80]}: is nested too deeply')
    if isinstance(value, str):
        if '\0' in value or any('\ud800' <= c <= '\udfff' for c in value):
            raise errors.BadRequest(
                f'{place}: has a NUL or half a surrogate pair in it'
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_storable(key, place, depth)
            _check_storable(item, f'{place}.{key}', depth - 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_storable(item, f'{place}.{index}', depth - 1)
