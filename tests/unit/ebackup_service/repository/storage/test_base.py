# SPDX-License-Identifier: Apache-2.0

from ebackup_service.repository.storage import base as storage_base
from tests import base


class KeyTestCase(base.BaseTestCase):
    def test_keys(self):
        for key in ('a', 'repository.json', 'packs/0a/b-1/d-00000001', '-'):
            self.assertTrue(storage_base.valid_key(key), key)

    def test_what_is_no_key(self):
        for key in ('', '.', '..', 'a/..', 'a/.b', '/a', 'a/', 'a//b', 'A',
                    'a\n', 'a\0', 'ä', 'a+b', 'a' * 513):  # fmt: skip
            self.assertFalse(storage_base.valid_key(key), key)
