# SPDX-License-Identifier: Apache-2.0
from hypothesis import strategies as st
from oslotest import base

from ebackup_service.repository import location
from ebackup_service.repository import pack_set
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

        used = sum(len(block) for block in packs._blocks.values())
        self.assertLess(used, 100_000 / 8 + 512)
