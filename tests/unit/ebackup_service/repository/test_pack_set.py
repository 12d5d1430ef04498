# SPDX-License-Identifier: Apache-2.0
import sys

from hypothesis import strategies as st

from ebackup_service.repository import location
from ebackup_service.repository import pack_set
from tests import base
from tests.unit.ebackup_service.repository import hostile
from tests.unit.ebackup_service.repository import strategies

FEW = st.builds(
    location.PackAddress,
    st.sampled_from([bytes(16), b'x' * 16]),
    st.sampled_from(location.KINDS),
    st.sampled_from([0, 1, 7, 8, 4095, 4096, 2**32 - 1]),
)


class PackSetTestCase(base.BaseTestCase):
    @strategies.given(
        st.sets(FEW | strategies.addresses()),
        st.sets(FEW | strategies.addresses()),
    )
    def test_behaves_as_a_set(self, members, others):
        packs = pack_set.PackSet()
        packs.update(members)

        for address in members | others:
            self.assertEqual(address in members, address in packs)

    def test_memory_is_a_bit_a_pack(self):
        packs = pack_set.PackSet()
        for ordinal in range(100_000):
            packs.add(location.PackAddress(bytes(16), 1, ordinal))

        used = sum(map(sys.getsizeof, packs._blocks.values()))
        self.assertLess(used, 1.2 * 100_000 / 8)

    def test_few_packs_of_a_session_take_little(self):
        packs = pack_set.PackSet()
        with hostile.bounded(200 * 10_000):
            for number in range(10_000):
                session = number.to_bytes(16)
                packs.add(location.PackAddress(session, 1, 1))
            copy = packs.copy()

        self.assertEqual(sorted(packs), sorted(copy))

    @strategies.given(st.sets(FEW), st.sets(FEW))
    def test_subtract(self, members, others):
        packs, other = pack_set.PackSet(), pack_set.PackSet()
        packs.update(members)
        other.update(others)

        packs.subtract(other)

        for address in members | others:
            self.assertEqual(address in members - others, address in packs)

    @strategies.given(st.sets(FEW), st.sets(FEW))
    def test_copy(self, members, others):
        packs = pack_set.PackSet()
        packs.update(members)

        packs.copy().update(others)

        self.assertEqual(sorted(members), sorted(packs))
        self.assertEqual(sorted(members), sorted(packs.copy()))

    @strategies.given(st.sets(FEW))
    def test_discard_sessions(self, members):
        packs = pack_set.PackSet()
        packs.update(members)

        packs.discard_sessions([b'x' * 16, b'y' * 16])

        for address in members:
            self.assertEqual(address.session == bytes(16), address in packs)

    @strategies.given(st.sets(FEW | strategies.addresses()))
    def test_iteration(self, members):
        packs = pack_set.PackSet()
        packs.update(members)

        self.assertEqual(sorted(members), sorted(packs))
