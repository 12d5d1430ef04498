# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

from ebackup_service.rpc import errors
from ebackup_service.rpc import findings
from tests import base

IMAGE = findings.Image(
    id='i',
    project_id='p',
    volume_id='v',
    generation=3,
    size=10,
    chunk_size=65536,
    tree={'id': 'x'},
    created_at='2026-01-01T00:00:00Z',
    incremental=True,
    record={'size': 1},
    volume_metadata='{"a": "\u00e4\\u0000"}',
    statistics={'bytes_read': 10},
)
SPENT = findings.Spent('p', 'v', 4, None)
EXAMPLES = (
    IMAGE,
    SPENT,
    findings.Findings([IMAGE], [SPENT], ['d'], 7),
    findings.Findings([], [], []),
    findings.Verdict(True, 1, ['Image i differs.']),
    findings.Verdict(False),
    findings.Known(True, ['i']),
)


class TestFindings(base.BaseTestCase):
    def test_every_message_survives_the_wire(self):
        for message in EXAMPLES:
            wire = json.loads(json.dumps(message.to_dict()))
            self.assertEqual(message, type(message).from_dict(wire))

    def refused(self, message, **values):
        self.assertRaises(
            errors.MessageInvalid,
            type(message).from_dict,
            {**message.to_dict(), **values},
        )

    def test_what_no_catalog_can_store_is_no_message(self):
        for values in (
            {'project_id': ''},
            {'project_id': 'p' * 256},
            {'project_id': 'p\0'},
            {'project_id': '\ud800'},
            {'volume_id': 'v' * 37},
            {'volume_id': 'v\n'},
            {'generation': 2**31},
            {'size': 2**63},
            {'chunk_size': 2**31},
            {'record': []},
            {'statistics': None},
        ):
            self.refused(IMAGE, **values)
        self.refused(SPENT, generation=2**31)
        self.refused(SPENT, project_id='p\0')

    def test_parts_are_looked_into(self):
        wire = findings.Findings([IMAGE], [SPENT], []).to_dict()
        wire['images'][0]['generation'] = -1
        self.assertRaises(
            errors.MessageInvalid, findings.Findings.from_dict, wire
        )

    def test_documents_that_are_nested_beyond_measure(self):
        self.assertFalse(IMAGE.is_too_deep)
        for name in ('record', 'statistics', 'tree'):
            deep = {}
            for _ in range(5000):
                deep = {'inner': [deep]}
            image = dataclasses.replace(IMAGE, **{name: deep})
            self.assertTrue(image.is_too_deep)
