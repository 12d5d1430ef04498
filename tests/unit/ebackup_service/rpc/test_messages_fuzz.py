# SPDX-License-Identifier: Apache-2.0
"""Messages that are nearly right: refused, or as good as a right one."""

import dataclasses
import json

from hypothesis import strategies as st

from ebackup_service.rpc import errors
from ebackup_service.rpc import message
from tests import base
from tests.unit.ebackup_service.repository import hostile
from tests.unit.ebackup_service.repository import strategies
from tests.unit.ebackup_service.rpc import test_messages


class TestFuzz(base.BaseTestCase):
    @strategies.given(st.data())
    def test_other_members(self, data):
        for example in test_messages.EXAMPLES:
            wire = data.draw(hostile.changed(st.just(example.to_dict())))
            with hostile.bounded(hostile.MIB):
                try:
                    found = type(example).from_dict(wire)
                except errors.MessageInvalid:
                    continue
            again = json.loads(json.dumps(found.to_dict()))
            self.assertEqual(found, type(example).from_dict(again))
            self.assert_types(found)

    def assert_types(self, found):
        """A number without a fraction isn't an integer yet."""
        for field in dataclasses.fields(found):
            value = getattr(found, field.name)
            if field.type is int:
                self.assertIs(int, type(value), field.name)
            elif isinstance(value, message.Message):
                self.assert_types(value)
