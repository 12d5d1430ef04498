# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ebackup_service.rpc import errors
from ebackup_service.rpc import messages
from tests import base

REPOSITORY = messages.RepositorySpec(
    id='r',
    name='default',
    url='file:///r',
    owner=messages.Owner('s', 1),
    compression='zstd',
    compression_level=1,
    minimum_free=0,
)
STORAGE = messages.StorageSpec(
    id='s',
    name='ceph1',
    kind='rbd',
    settings={'pool': 'volumes'},
    credentials={'key': 'secret'},
    trust='shadow',
    anchors=True,
)
TREE = messages.TreeSpec('i', {'id': 'x'}, 10, 65536)
EXAMPLES = (
    messages.JobSpec(
        id='j', kind='gc', token=1, lease=15.0, repository=REPOSITORY
    ),
    messages.JobSpec(
        id='j',
        kind='backup',
        token=2,
        lease=9.5,
        repository=REPOSITORY,
        image=messages.ImageSpec(
            'i', 'p', 'v', 3, 10, 65536, {'size': 1}, None
        ),
        base=TREE,
        attachment={'kind': 'attached', 'host': 'h', 'path': '/p'},
    ),
    messages.JobSpec(
        id='j',
        kind='restore',
        token=2,
        lease=9.5,
        repository=REPOSITORY,
        tree=messages.TreeSpec('i', None, 0, 65536),
        target=messages.TargetSpec('v', 10, True),
        storage=STORAGE,
    ),
    messages.Connection('iscsi', {'target_lun': 1}),
    messages.Grant(True, 14.5),
    messages.Grant(False, 0.0, 'cancelled', 'Not today.'),
    messages.Decision(True),
    messages.Decision(False, 'because'),
    messages.Outcome('succeeded', {'bytes_read': 1}),
    messages.Outcome(
        'failed', None, messages.JobError('k', 'm', True), {'percent': 1}
    ),
    messages.Commit(None, 0, 65536, {}),
    messages.Live(False),
    messages.Live(True, ['a'], [TREE], ['x'], ['b'], ['c']),
)


class TestMessages(base.BaseTestCase):
    def test_every_message_survives_the_wire(self):
        for message in EXAMPLES:
            wire = json.loads(json.dumps(message.to_dict()))
            self.assertEqual(message, type(message).from_dict(wire))

    def test_messages_do_not_change(self):
        for message in EXAMPLES:
            field = dataclasses.fields(message)[0].name
            self.assertRaises(
                dataclasses.FrozenInstanceError,
                setattr,
                message,
                field,
                None,
            )

    def test_what_may_be_secret_is_not_shown(self):
        for message in (STORAGE, EXAMPLES[2]):
            self.assertNotIn('secret', repr(message))
        self.assertNotIn('attached', repr(EXAMPLES[1]))

    def refused(self, cls, document):
        error = self.assertRaises(
            errors.MessageInvalid, cls.from_dict, document
        )
        self.assertIn(cls.__name__, str(error))
        return str(error)

    def test_what_a_newer_version_has_added_is_ignored(self):
        for message in EXAMPLES:
            wire = {**message.to_dict(), 'new': {'id': 1}}
            for value in wire.values():
                if isinstance(value, dict) and 'owner' in value:
                    value['owner']['new'] = 2
            self.assertEqual(message, type(message).from_dict(wire))

    def test_missing_and_wrong_fields_are_refused(self):
        for message in EXAMPLES:
            wire = message.to_dict()
            name = dataclasses.fields(message)[0].name
            missing = {key: wire[key] for key in wire if key != name}
            for wrong in (missing, {**wire, name: 17.5}):
                self.refused(type(message), wrong)

    def test_parts_are_looked_into(self):
        wire = EXAMPLES[0].to_dict()
        wire['repository']['owner']['generation'] = 'one'
        text = self.refused(messages.JobSpec, wire)
        self.assertIn('$.repository.owner.generation', text)

    def test_value_is_not_quoted_for_it_may_be_secret(self):
        wire = EXAMPLES[0].to_dict()
        wire['repository']['url'] = ['secret']
        self.assertNotIn('secret', self.refused(messages.JobSpec, wire))

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ['id', 'kind', 'state', 'error', 'granted', 'dead']
                    ),
                    inner,
                )
            ),
            max_leaves=10,
        )
    )
    def test_nonsense_is_refused_and_nothing_else(self, document):
        for cls in {type(message) for message in EXAMPLES}:
            self.refused(cls, document)
