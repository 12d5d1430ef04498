# SPDX-License-Identifier: Apache-2.0

import dataclasses

from ebackup_service.rpc import errors
from ebackup_service.rpc import message
from ebackup_service.rpc import schemas
from tests import base

_PART = schemas.record(id=schemas.ID, count=schemas.COUNT)
_WHOLE = schemas.record(
    parts=schemas.array(_PART), part=schemas.optional(_PART)
)


@dataclasses.dataclass(frozen=True)
class Part(message.Message):
    SCHEMA = _PART

    id: str
    count: int


@dataclasses.dataclass(frozen=True)
class Whole(message.Message):
    SCHEMA = _WHOLE
    PARTS = {'parts': Part, 'part': Part}

    parts: list[Part]
    part: Part | None = None


class TestMessage(base.BaseTestCase):
    def test_parts_and_lists_of_them(self):
        for whole in (
            Whole([Part('a', 1), Part('b', 2)], Part('c', 3)),
            Whole([]),
        ):
            self.assertEqual(whole, Whole.from_dict(whole.to_dict()))

    def test_unknown_members_of_parts_are_ignored(self):
        wire = {
            'parts': [{'id': 'a', 'count': 1, 'new': 2}],
            'part': {'id': 'b', 'count': 3, 'new': [4]},
        }
        self.assertEqual(
            Whole([Part('a', 1)], Part('b', 3)), Whole.from_dict(wire)
        )

    def test_wrong_part_is_named_and_its_value_is_not(self):
        wire = {'parts': [{'id': 'a', 'count': 'secret'}], 'part': None}
        error = self.assertRaises(errors.MessageInvalid, Whole.from_dict, wire)
        self.assertIn('Whole: $.parts[0].count', str(error))
        self.assertNotIn('secret', str(error))

    def test_number_with_a_fraction_is_no_integer(self):
        for count in (1.0, 1.5, True):
            self.assertRaises(
                errors.MessageInvalid,
                Part.from_dict,
                {'id': 'a', 'count': count},
            )
