# SPDX-License-Identifier: Apache-2.0
"""Damage anywhere in a document: named, and never believed."""

from collections.abc import Callable
import os

from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import repository
from tests.unit.ebackup_service.repository import damage


class DocumentTestCase(damage.DamageTestCase):
    """Each is read by somebody who names it then."""

    def readers(self) -> dict[str, Callable[[], object]]:
        first = self.first.id
        return {
            layout.root_key(first): lambda: self.repo.root(first),
            layout.commit_key(first): lambda: self.repo.is_marked(first),
            layout.REPOSITORY: self.open,
            layout.OWNER: lambda: self.repo.check_owner('service', 1),
        }

    def open(self):
        return repository.Repository.open(self.storage, self.repo.id)

    def assert_damage_is_told(self, key: str):
        self.assertIn(key, self.outcome(self.readers()[key]))
        if layout.parse_image(key) is not None:
            self.assert_collection(stops=True)
            self.assertTrue(self.outcome(self.restore_both))
        if key != layout.REPOSITORY:
            self.assert_told(key)

    def test_flipped_bits(self):
        for key in self.readers():
            for region in damage.document_regions(self.object(key)):
                for offset in region.offsets():
                    with self.subTest(region=region.name, offset=offset):
                        with self.flipped(key, offset):
                            self.assert_damage_is_told(key)
        self.assertEqual([], self.check().problems)
        self.restore_both()

    def test_truncated_at_every_boundary(self):
        for key in self.readers():
            whole = self.object(key)
            for region in damage.document_regions(whole):
                with self.subTest(key=key, region=region.name):
                    with self.instead(key, whole[: region.begin]):
                        self.assert_damage_is_told(key)

    def test_longer_document(self):
        for key in self.readers():
            for more in (b'\n', b'\0', self.object(key)):
                with self.instead(key, self.object(key) + more):
                    self.assert_damage_is_told(key)

    def test_huge_document(self):
        for key in self.readers():
            with self.instead(key, self.object(key)):
                os.truncate(os.path.join(self.path, key), 2**40)
                self.assert_damage_is_told(key)

    def test_document_under_the_name_of_another(self):
        keys = [
            *self.readers(),
            layout.root_key(self.second.id),
            layout.commit_key(self.second.id),
            layout.tombstone_key(self.gone),
        ]
        for key in self.readers():
            for impostor in keys:
                if impostor != key:
                    with self.instead(key, self.object(impostor)):
                        self.assert_damage_is_told(key)

    def test_newer_format_is_told_from_damage(self):
        for key, read in self.readers().items():
            newer = self.object(key).replace(b'"version":1', b'"version":2', 1)
            newer = newer.replace(b'"checksum"', b'"digest"', 1)
            with self.instead(key, newer):
                error = self.assertRaises(errors.UnsupportedFormat, read)
                self.assertIn(key, str(error))
                self.assertIn('upgrade', str(error))

    def test_damaged_tombstone_counts(self):
        key = layout.tombstone_key(self.gone)
        whole = self.object(key)
        for region in damage.document_regions(whole):
            for data in (
                whole[: region.begin],
                whole[: region.begin] + b'?' + whole[region.begin + 1 :],
                self.object(layout.root_key(self.first.id)),
            ):
                with self.subTest(region=region.name):
                    with self.instead(key, data):
                        self.assertTrue(
                            images.is_deleted(self.storage, self.gone)
                        )
                        self.assert_told(key)
                        self.assert_collection(stops=False)
