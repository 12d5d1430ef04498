# SPDX-License-Identifier: Apache-2.0
"""What all messages have in common: the way to the wire and back."""

import dataclasses
from typing import Any
from typing import ClassVar
from typing import Self

import jsonschema

from ebackup_service.rpc import errors
from ebackup_service.rpc import schemas

# JSON knows one kind of number; what we count with has no fraction, not even
# a zero.
_extend: Any = jsonschema.validators.extend
_Validator: Any = _extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        'integer', lambda checker, value: type(value) is int
    ),
)


class Message:
    """A frozen dataclass that knows its schema.

    :cvar SCHEMA: what documents of it have to be like, all members required
    :cvar PARTS: of the fields that are messages themselves, or lists of them:
        the class
    """

    SCHEMA: ClassVar[schemas.Schema]
    PARTS: ClassVar[dict[str, type['Message']]] = {}
    validator: ClassVar[jsonschema.Draft202012Validator]

    def __init_subclass__(cls) -> None:
        cls.validator = _Validator(cls.SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        assert dataclasses.is_dataclass(self)
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: Any) -> Self:
        """:raises errors.MessageInvalid: naming the first wrong part."""
        for error in cls.validator.iter_errors(document):
            # not error.message: that quotes the value, which may be secret
            raise errors.MessageInvalid(
                f'{cls.__name__}: {error.json_path} does not match '
                f'"{error.validator}" of the schema.'
            )
        return cls._build(document)

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        assert dataclasses.is_dataclass(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: document[key] for key in document if key in known}
        for name, part in cls.PARTS.items():
            value = values[name]
            if isinstance(value, list):
                values[name] = [part._build(one) for one in value]
            elif value is not None:
                values[name] = part._build(value)
        return cls(**values)
