# SPDX-License-Identifier: Apache-2.0
import blake3

from ebackup_service.repository import ids
from tests import base

KEY = bytes(range(32))


class HasherTestCase(base.BaseTestCase):
    def test_chunk_id_is_the_keyed_hash(self):
        expected = blake3.blake3(b'plain', key=KEY).digest()

        self.assertEqual(expected, ids.chunk_hasher(KEY)(b'plain'))

    def test_kinds_of_buffers_have_one_id(self):
        hasher = ids.chunk_hasher(KEY)

        self.assertEqual(
            1,
            len(
                {
                    hasher(b'plain'),
                    hasher(bytearray(b'plain')),
                    hasher(memoryview(b'.plain.')[1:-1]),
                }
            ),
        )

    def test_keys_and_kinds_separate(self):
        made = {
            make(key)(b'plain')
            for make in (ids.chunk_hasher, ids.page_hasher)
            for key in (KEY, bytes(32))
        }

        self.assertEqual(4, len(made))
        self.assertEqual({ids.ID_SIZE}, {len(made_id) for made_id in made})
