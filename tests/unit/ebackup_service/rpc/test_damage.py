# SPDX-License-Identifier: Apache-2.0

import json

from ebackup_service.rpc import damage
from ebackup_service.rpc import errors
from tests import base

IMAGE = damage.Image('i', [[0, 4096], [8192, 1]], [[0, 4096]])
EXAMPLES = (
    IMAGE,
    damage.Report([IMAGE, damage.Image('j', [])]),
    damage.Known(True, [IMAGE]),
    damage.Known(False),
)


class TestDamage(base.BaseTestCase):
    def test_every_message_survives_the_wire(self):
        for message in EXAMPLES:
            wire = json.loads(json.dumps(message.to_dict()))
            self.assertEqual(message, type(message).from_dict(wire))

    def test_what_is_no_range_is_no_message(self):
        for extents in (
            [[0]],
            [[0, 1, 2]],
            [[-1, 1]],
            [[0, 1.5]],
            [[0, 2**63]],
            [['a', 1]],
            [[0, 1]] * 1001,
            None,
        ):
            self.assertRaises(
                errors.MessageInvalid,
                damage.Report.from_dict,
                {
                    'images': [
                        {'image_id': 'i', 'extents': extents, 'known': []}
                    ]
                },
            )
