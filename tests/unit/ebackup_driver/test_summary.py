# SPDX-License-Identifier: Apache-2.0
import json

from hypothesis import given
from hypothesis import strategies as st

from ebackup_driver import resources
from ebackup_driver import summary
from tests import base

SIZES = st.none() | st.integers(0, 2**63 - 1)


class TestServiceMetadata(base.BaseTestCase):
    @given(
        kind=st.sampled_from([None, 'full', 'incremental']),
        read=SIZES,
        stored=SIZES,
        generation=st.none() | st.integers(1, 2**32 - 1),
    )
    def test_fits_cinders_column(self, kind, read, stored, generation):
        image = resources.Image(
            id='i',
            state='available',
            kind=kind,
            bytes_read=read,
            bytes_stored=stored,
            generation=generation,
        )
        text = summary.service_metadata(image)
        self.assertLessEqual(len(text), 255)
        self.assertEqual(
            {
                'v': 1,
                'kind': kind,
                'read': read,
                'stored': stored,
                'gen': generation,
            },
            json.loads(text),
        )
