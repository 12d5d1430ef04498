# SPDX-License-Identifier: Apache-2.0

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import markers
from ebackup_service.repository import root as image_root
from tests import base
from tests.unit.ebackup_service.repository import base as repository_base

IMAGE = repository_base.new_id()
OTHER = repository_base.new_id()


class CommitTestCase(base.BaseTestCase):
    marker = markers.Commit(IMAGE, 'ab' * 32, 7)

    def test_round_trip(self):
        data = self.marker.to_bytes()

        self.assertEqual(
            self.marker, markers.Commit.from_bytes(data, 'key', IMAGE)
        )

    def test_marker_of_another_image_is_refused(self):
        self.assertRaises(
            errors.Corrupt,
            markers.Commit.from_bytes,
            self.marker.to_bytes(),
            'key',
            OTHER,
        )

    def test_damaged_members_are_told(self):
        for name, value in (
            ('image_id', 1),
            ('root', 'AB' * 32),
            ('root', None),
            ('generation', -1),
            ('committed_at', 1),
        ):
            content = document.unseal('commit', 'k', self.marker.to_bytes())
            data = document.seal('commit', {**content, name: value})
            self.assertRaises(
                errors.Corrupt,
                markers.Commit.from_bytes,
                data,
                'key',
                IMAGE,
            )


class TombstoneTestCase(base.BaseTestCase):
    tombstone = markers.Tombstone(IMAGE)

    def test_round_trip(self):
        known = markers.Tombstone(
            IMAGE, chain=image_root.Chain('p', 'v'), generation=7
        )
        for tombstone in self.tombstone, known:
            data = tombstone.to_bytes()

            self.assertEqual(
                tombstone, markers.Tombstone.from_bytes(data, 'key', IMAGE)
            )

    def test_one_without_chain_and_generation_is_valid(self):
        content = {'image_id': IMAGE, 'deleted_at': '2026-01-01T00:00:00Z'}
        data = document.seal('tombstone', content)

        tombstone = markers.Tombstone.from_bytes(data, 'key', IMAGE)

        self.assertEqual((None, None), (tombstone.chain, tombstone.generation))

    def test_tombstone_of_another_image_is_refused(self):
        self.assertRaises(
            errors.Corrupt,
            markers.Tombstone.from_bytes,
            self.tombstone.to_bytes(),
            'key',
            OTHER,
        )

    def test_damaged_members_are_told(self):
        whole = {'image_id': IMAGE, 'deleted_at': 'now'}
        for content in (
            {'image_id': IMAGE},
            {**whole, 'generation': 'seven'},
            {**whole, 'chain': 'p'},
            {**whole, 'chain': {'project_id': 'p'}},
        ):
            data = document.seal('tombstone', content)

            self.assertRaises(
                errors.Corrupt,
                markers.Tombstone.from_bytes,
                data,
                'key',
                IMAGE,
            )
