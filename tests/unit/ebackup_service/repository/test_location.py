# SPDX-License-Identifier: Apache-2.0
import json

from hypothesis import strategies as st

from ebackup_service.repository import location
from tests import base
from tests.unit.ebackup_service.repository import strategies


class LocatorTestCase(base.BaseTestCase):
    @strategies.given(strategies.locators())
    def test_json_round_trip(self, where):
        document = json.loads(json.dumps(where.to_json()))

        self.assertEqual(where, location.Locator.from_json(document))

    @strategies.given(
        strategies.locators(),
        st.sampled_from(
            [
                'id',
                'session',
                'kind',
                'ordinal',
                'offset',
                'length',
                'generation',
            ]
        ),  # fmt: skip
        st.sampled_from(
            [
                None,
                -1,
                2**32,
                1.5,
                True,
                '',
                'x' * 64,
                [],
                {},
                'é' * 32,
                'ab' * 31,
            ]
        ),
    )
    def test_nonsense_is_refused(self, where, name, value):
        document = where.to_json()
        document[name] = value

        self.assertRaises(ValueError, location.Locator.from_json, document)

    @strategies.given(strategies.locators())
    def test_every_member_is_needed(self, where):
        for name in where.to_json():
            document = where.to_json()
            del document[name]
            self.assertRaises(ValueError, location.Locator.from_json, document)
