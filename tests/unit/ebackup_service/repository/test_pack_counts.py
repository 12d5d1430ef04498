# SPDX-License-Identifier: Apache-2.0
import collections
import json

from hypothesis import strategies as st

from ebackup_service.repository import location
from ebackup_service.repository import pack_counts
from tests import base
from tests.unit.ebackup_service.repository import hostile
from tests.unit.ebackup_service.repository import strategies

FEW = st.builds(
    location.PackAddress,
    st.sampled_from([bytes(16), b'x' * 16]),
    st.sampled_from(location.KINDS),
    st.sampled_from([0, 1, 63, 64, 2**32 - 1]),
)
WEIGHTS = st.integers(1, 2**64 - 1)
REFERENCES = st.lists(st.tuples(FEW, WEIGHTS), max_size=20)
ONE = location.PackAddress(bytes(16), location.DATA, 1)


def counted(references):
    counts = pack_counts.PackCounts()
    for address, weight in references:
        counts.add([address], weight)
    return counts


class PackCountsTestCase(base.BaseTestCase):
    @strategies.given(REFERENCES)
    def test_packs_that_are_referred_to(self, references):
        counts = counted(references)

        self.assertEqual({a for a, _ in references}, set(counts))
        self.assertEqual(len(set(counts)), len(list(counts)))
        for address, _ in references:
            self.assertIn(address, counts)
        self.assertNotIn(location.PackAddress(b'y' * 16, 1, 1), counts)

    @strategies.given(REFERENCES, REFERENCES)
    def test_what_goes_is_as_if_it_had_never_come(self, stay, go):
        counts = counted([*stay, *go])
        for address, weight in go:
            counts.add([address], weight, -1)

        self.assertEqual(counted(stay), counts)
        self.assertEqual({a for a, _ in stay}, set(counts))

    @strategies.given(REFERENCES)
    def test_round_trip(self, references):
        counts = counted(references)
        text = json.dumps(counts.to_json())

        again = pack_counts.PackCounts.from_json(json.loads(text))

        self.assertEqual(counts, again)

    @strategies.given(REFERENCES, REFERENCES)
    def test_packed_and_unpacked(self, references, go):
        counts = counted([*references, *go])
        for address, weight in go:
            counts.add([address], weight, -1)
        packed = counts.packed()

        self.assertEqual(counted(references).packed(), packed)
        self.assertEqual(
            {a.session for a, _ in references}, pack_counts.sessions(packed)
        )
        again = pack_counts.PackCounts.unpacked(packed)
        self.assertEqual(counts.to_json(), again.to_json())

    def test_one_pack_a_session_takes_little(self):
        counts = pack_counts.PackCounts()
        with hostile.bounded(300 * 10_000):
            for number in range(10_000):
                session = number.to_bytes(16)
                counts.add([location.PackAddress(session, 1, 1)], 7)
        with hostile.bounded(200 * 10_000):
            packed = counts.packed()

        self.assertEqual(41 * 10_000, len(packed))

    def test_many_packs_of_a_session(self):
        counts = pack_counts.PackCounts()
        packs = [location.PackAddress(bytes(16), 1, n) for n in range(20_000)]
        with hostile.bounded(30 * 20_000):
            counts.add(packs, 7)
        with hostile.bounded(70 * 20_000):
            packed = counts.packed()

        self.assertEqual(21 + 20 * 20_000, len(packed))
        self.assertEqual(packs, list(counts))

    def test_reference_that_goes_in_the_place_of_another_is_noticed(self):
        counts = counted([(ONE, 5)])
        counts.add([ONE], 6, -1)

        self.assertFalse(counts.plausible)

    def test_fewer_than_none_are_noticed(self):
        counts = counted([])
        counts.add([ONE], 6, -1)

        self.assertFalse(counts.plausible)

    def test_what_is_referred_to_twice_is_plausible(self):
        counts = counted([(ONE, 5), (ONE, 7)])
        counts.add([ONE], 7, -1)

        self.assertTrue(counts.plausible)

    def test_what_is_no_count_is_refused(self):
        (good,) = counted([(ONE, 5)]).to_json()
        for bad in (
            {'kind': 3},
            {'counts': [-1]},
            {'counts': []},
            {'ordinals': [2**32]},
            {'sums': ['5']},
            {'sums': ['x' * 16]},
            {'sums': ['-' + '1' * 15]},
            {'sums': ['12 ' * 5 + '1']},
            {'counts': [2**62 + 1]},
            {'ordinals': [1, 1], 'counts': [1, 1], 'sums': ['1' * 16] * 2},
            {'session': 'x'},
        ):
            self.assertRaises(
                ValueError,
                pack_counts.PackCounts.from_json,
                [collections.ChainMap(bad, good)],
            )
