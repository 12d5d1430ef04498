# SPDX-License-Identifier: Apache-2.0
import json
import re
from unittest import mock

from hypothesis import strategies as st

from ebackup_service.repository import document
from ebackup_service.repository import errors
from tests import base
from tests.unit.ebackup_service.repository import strategies

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec='utf-8')),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(codec='utf-8')), inner, max_size=3
        )
    ),
    max_leaves=8,
)
CONTENT = st.dictionaries(st.text('abc', max_size=3), JSON, max_size=4)


class SealTestCase(base.BaseTestCase):
    @strategies.given(CONTENT)
    def test_round_trip(self, content):
        data = document.seal('root', content)

        self.assertEqual(content, document.unseal('root', 'key', data))

    def test_form(self):
        data = document.seal('root', {'b': 1, 'a': 'ä\n'})

        first, second, rest = data.split(b'\n')
        self.assertRegex(
            first.decode(),
            r'^\{"ebackup":"root","version":1,"length":18,'
            r'"checksum":"[0-9a-f]{64}"\}$',
        )
        self.assertEqual('{"a":"ä\\n","b":1}', second.decode())
        self.assertEqual(b'', rest)
        json.loads(first)

    def test_what_is_no_json_is_refused(self):
        self.assertRaises(
            ValueError, document.seal, 'root', {'a': float('nan')}
        )
        self.assertRaises(ValueError, document.seal, 'root', {'a': '\ud800'})
        self.assertRaises(TypeError, document.seal, 'root', {'a': object()})

    def test_size_is_limited(self):
        with mock.patch.object(document, 'MAX_SIZE', 1000):
            self.assertRaises(
                ValueError, document.seal, 'root', {'a': 'x' * 1000}
            )


class UnsealTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.data = document.seal('root', {'a': 1, 'b': [True, None]})

    def test_every_bit_matters(self):
        for position in range(len(self.data) * 8):
            changed = bytearray(self.data)
            changed[position // 8] ^= 1 << position % 8
            self.assertRaises(
                errors.Corrupt,
                document.unseal,
                'root',
                'key',
                bytes(changed),
            )

    def test_every_length_matters(self):
        for length in range(len(self.data)):
            self.assertRaises(
                errors.Corrupt,
                document.unseal,
                'root',
                'key',
                self.data[:length],
            )
        self.assertRaises(
            errors.Corrupt, document.unseal, 'root', 'key', self.data + b'x'
        )

    def test_another_kind_is_refused(self):
        error = self.assertRaises(
            errors.Corrupt, document.unseal, 'commit', 'the/key', self.data
        )
        self.assertIn('the/key', str(error))

    def test_newer_version_is_refused_whatever_follows(self):
        newer = b'{"ebackup":"root","version":2,"sealed":"otherwise"}\nx'

        error = self.assertRaises(
            errors.UnsupportedFormat,
            document.unseal,
            'root',
            'the/key',
            newer,
        )
        self.assertIn('the/key has a format newer than 1', str(error))

    def test_valid_checksum_of_no_object_is_refused(self):
        for body in (b'[1]', b'1', b'{', b'[' * 100_000, b'\xff'):
            sealed = document.seal('root', {})
            head = re.sub(
                rb'"length":\d+,"checksum":"\w+"',
                b'"length":%d,"checksum":"%s"'
                % (len(body), document._checksum('root', body).encode()),
                sealed.split(b'\n')[0],
            )
            self.assertRaises(
                errors.Corrupt,
                document.unseal,
                'root',
                'key',
                head + b'\n' + body + b'\n',
            )

    @strategies.given(st.binary(max_size=300))
    def test_garbage_is_refused(self, data):
        self.assertRaises(errors.Corrupt, document.unseal, 'root', 'key', data)


class ReadTestCase(base.BaseTestCase):
    def test_reads_from_a_storage(self):
        data = document.seal('root', {'a': 1})
        storage = mock.Mock()
        storage.size.return_value = len(data)
        storage.read.return_value = data

        self.assertEqual({'a': 1}, document.read(storage, 'root', 'key'))

    def test_huge_object_is_not_read(self):
        storage = mock.Mock()
        storage.size.return_value = 10**12

        self.assertRaises(
            errors.Corrupt, document.read, storage, 'root', 'key'
        )
        storage.read.assert_not_called()

    def test_digest_is_of_all_bytes(self):
        self.assertEqual(64, len(document.digest(b'a')))
        self.assertNotEqual(document.digest(b'a'), document.digest(b'a\n'))
