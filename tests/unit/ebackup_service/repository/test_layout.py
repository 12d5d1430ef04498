# SPDX-License-Identifier: Apache-2.0
import uuid

from hypothesis import strategies as st

from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository.storage import base as storage_base
from tests import base
from tests.unit.ebackup_service.repository import strategies

SESSION = '0badcafe-0000-4000-8000-000000000001'


class PackKeyTestCase(base.BaseTestCase):
    def test_form(self):
        address = location.PackAddress(
            uuid.UUID(SESSION).bytes, location.PAGE, 0x1A
        )

        self.assertEqual(
            f'packs/0b/{SESSION}/p-0000001a', layout.pack_key(address)
        )

    @strategies.given(strategies.addresses())
    def test_round_trip(self, address):
        key = layout.pack_key(address)

        self.assertTrue(storage_base.valid_key(key))
        self.assertEqual(address, layout.parse_pack(key))
        session_id = str(uuid.UUID(bytes=address.session))
        self.assertEqual(session_id, layout.parse_session(key))
        self.assertTrue(key.startswith(layout.session_prefix(session_id)))

    def test_foreign_names_are_no_packs(self):
        for key in (
            f'packs/0b/{SESSION}/x-00000001',
            f'packs/0b/{SESSION}/d-1',
            f'packs/0b/{SESSION}/d-0000000A',
            f'packs/0b/{SESSION}/d-00000001.bak',
            f'packs/ff/{SESSION}/d-00000001',
            f'packs/{SESSION}/d-00000001',
            'packs/0b/x/d-00000001',
        ):
            self.assertIsNone(layout.parse_pack(key), key)

    def test_session_of_what_is_no_pack(self):
        self.assertEqual(
            SESSION, layout.parse_session(f'packs/0b/{SESSION}/whatever')
        )
        self.assertIsNone(layout.parse_session(f'images/{SESSION}/root'))


class CompactedKeyTestCase(base.BaseTestCase):
    def address(self, kind=location.DATA):
        return location.PackAddress(uuid.UUID(SESSION).bytes, kind, 0x1A)

    def test_form(self):
        key = layout.compacted_key(self.address(), 0xB, '0a' * 32)

        self.assertEqual(
            f'compacted/0b/{SESSION}/d-0000001a/0000000b-{"0a" * 32}', key
        )
        self.assertTrue(storage_base.valid_key(key))
        self.assertTrue(key.startswith(layout.COMPACTED))
        prefix = layout.compacted_prefix(self.address())
        self.assertTrue(key.startswith(prefix))
        self.assertEqual((0xB, '0a' * 32), layout.compacted_name(key))
        self.assertEqual(self.address(), layout.parse_compacted(key))
        self.assertIsNone(layout.parse_pack(key))

    def test_keys_are_in_the_order_of_their_numbers(self):
        keys = [
            layout.compacted_key(self.address(), number, digest * 64)
            for number in (1, 9, 10, 255, 256, 2**32 - 1)
            for digest in 'af'
        ]

        self.assertEqual(sorted(keys), keys)

    def test_foreign_names_are_no_compacted_packs(self):
        digest = '0a' * 32
        for key in (
            f'compacted/0b/{SESSION}/p-0000001a/0000000b-{digest}',
            f'compacted/ff/{SESSION}/d-0000001a/0000000b-{digest}',
            f'compacted/0b/{SESSION}/d-0000001a/b-{digest}',
            f'compacted/0b/{SESSION}/d-0000001a/0000000b-{digest[1:]}',
            f'compacted/0b/{SESSION}/d-0000001a/0000000b-{digest}.bak',
            f'compacted/0b/{SESSION}/d-0000001a/{digest}',
            f'packs/0b/{SESSION}/d-0000001a',
        ):
            self.assertIsNone(layout.parse_compacted(key), key)


class SessionTestCase(base.BaseTestCase):
    def test_bytes(self):
        self.assertEqual(
            uuid.UUID(SESSION).bytes, layout.session_bytes(SESSION)
        )

    def test_other_forms_are_refused(self):
        for text in (SESSION.upper(), SESSION.replace('-', ''), '', '../..'):
            self.assertRaises(ValueError, layout.session_bytes, text)


class AccountKeyTestCase(base.BaseTestCase):
    def test_form(self):
        key = layout.account_key('0a' * 32)

        self.assertEqual(f'accounts/{"0a" * 32}', key)
        self.assertTrue(storage_base.valid_key(key))
        self.assertTrue(layout.is_account(key))

    def test_foreign_names_are_no_accounts(self):
        for key in ('accounts/0a', f'accounts/{"0A" * 32}', 'accounts/'):
            self.assertFalse(layout.is_account(key))


class ImageKeyTestCase(base.BaseTestCase):
    @strategies.given(st.uuids())
    def test_round_trip(self, image):
        image_id = str(image)

        self.assertEqual(
            (image_id, layout.ROOT),
            layout.parse_image(layout.root_key(image_id)),
        )
        self.assertEqual(
            (image_id, layout.COMMIT),
            layout.parse_image(layout.commit_key(image_id)),
        )
        self.assertEqual(
            image_id,
            layout.parse_tombstone(layout.tombstone_key(image_id)),
        )

    def test_foreign_names_are_no_images(self):
        for key in (
            f'images/{SESSION}',
            f'images/{SESSION}/other',
            'images/a/root',
        ):
            self.assertIsNone(layout.parse_image(key), key)
        self.assertIsNone(layout.parse_tombstone('tombstones/a'))

    def test_ids_that_are_no_uuids_are_refused(self):
        for make in (
            layout.root_key,
            layout.commit_key,
            layout.tombstone_key,
        ):
            for text in (SESSION.upper(), '../../etc', ''):
                self.assertRaises(ValueError, make, text)


class ObjectTestCase(base.BaseTestCase):
    def test_keys_of_a_repository(self):
        image_id = SESSION
        address = location.PackAddress(
            layout.session_bytes(SESSION), location.DATA, 1
        )
        for key in (
            layout.REPOSITORY,
            layout.OWNER,
            layout.pack_key(address),
            layout.compacted_key(address, 1, '0a' * 32),
            layout.root_key(image_id),
            layout.commit_key(image_id),
            layout.tombstone_key(image_id),
            layout.account_key('0a' * 32),
        ):
            self.assertTrue(layout.is_object(key), key)
            self.assertFalse(layout.is_object(f'{key}x'), key)
            self.assertFalse(layout.is_object(key.rpartition('/')[0]), key)
