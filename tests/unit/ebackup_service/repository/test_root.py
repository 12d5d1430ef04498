# SPDX-License-Identifier: Apache-2.0
import json
import uuid

from hypothesis import strategies as st

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import root
from tests import base
from tests.unit.ebackup_service.repository import base as repository_base
from tests.unit.ebackup_service.repository import strategies

TEXT = st.text(st.characters(codec='utf-8'), max_size=20)
UUIDS = st.uuids().map(str)


def roots():
    return st.builds(
        root.Root,
        image_id=UUIDS,
        chain=st.builds(root.Chain, TEXT, TEXT),
        generation=strategies.U32,
        size=st.integers(0, 2**63 - 1),
        chunk_size=st.sampled_from([4096, 65536, 4194304]),
        tree=st.none()
        | strategies.locators(
            [location.PackAddress(uuid.uuid4().bytes, location.PAGE, 7)]
        ),
        created_at=TEXT,
        base_image=st.none() | UUIDS,
        change_source=st.builds(root.ChangeSource, TEXT, st.none() | TEXT),
        record=st.dictionaries(TEXT, TEXT | st.integers(), max_size=3),
        volume_metadata=st.none() | TEXT,
        statistics=st.dictionaries(TEXT, st.integers(), max_size=2),
        session_id=st.none() | UUIDS,
    )


def make(**changes):
    fields = {
        'image_id': repository_base.new_id(),
        'chain': root.Chain('p', 'v'),
        'generation': 1,
        'size': 1,
        'chunk_size': 65536,
        'tree': None,
        **changes,
    }
    return root.Root(**fields)


class RootTestCase(base.BaseTestCase):
    @strategies.given(roots())
    def test_round_trip(self, made):
        self.assertEqual(made, root.Root.from_bytes(made.to_bytes(), 'key'))

    @strategies.given(roots())
    def test_json_round_trip(self, made):
        document_ = json.loads(json.dumps(made.to_json()))

        self.assertEqual(made, root.Root.from_json(document_))

    def test_impossible_ones_are_not_made(self):
        leaf = location.Locator(
            bytes(32),
            location.PackAddress(bytes(16), location.DATA, 1),
            0,
            100,
            1,
        )
        for changes in (
            {'image_id': 'x'},
            {'generation': -1},
            {'generation': 2**32},
            {'size': -1},
            {'chunk_size': 1000},
            {'tree': leaf},
        ):
            self.assertRaises(ValueError, make, **changes)

    def test_damaged_members_are_told(self):
        content = make().to_json()
        for name, value in (
            ('image_id', None),
            ('chain', {}),
            ('chain', {'project_id': 'p'}),
            ('generation', 2**32),
            ('generation', True),
            ('size', -1),
            ('size', '1'),
            ('chunk_size', 3),
            ('tree', {'id': 'x'}),
            ('tree', 'x'),
            ('created_at', 1),
            ('base_image', 1),
            ('change_source', None),
            ('record', []),
            ('volume_metadata', {}),
            ('statistics', None),
            ('session_id', 'x'),
            ('domain', None),
        ):
            data = document.seal('root', {**content, name: value})
            error = self.assertRaises(
                errors.Corrupt, root.Root.from_bytes, data, 'the/key'
            )
            self.assertIn('the/key', str(error))

    def test_members_to_come_are_ignored(self):
        made = make()
        data = document.seal('root', {**made.to_json(), 'new': [1]})

        self.assertEqual(made, root.Root.from_bytes(data, 'key'))

    def test_another_domain_is_not_understood(self):
        data = make(domain='tenant').to_bytes()

        self.assertRaises(
            errors.UnsupportedFormat, root.Root.from_bytes, data, 'key'
        )

    def test_time_and_session_are_filled_in(self):
        made = make()

        self.assertTrue(made.created_at.endswith('Z'))
        self.assertIsNone(made.session_id)
        self.assertEqual('compare', made.change_source.kind)
