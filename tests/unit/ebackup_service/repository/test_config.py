# SPDX-License-Identifier: Apache-2.0
import dataclasses

from ebackup_service.repository import config
from ebackup_service.repository import document
from ebackup_service.repository import errors
from tests import base
from tests.unit.ebackup_service.repository import base as repository_base


class ConfigTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.config = config.RepositoryConfig.new(
            repository_base.new_id(), 1 << 20
        )

    def changed(self, **changes):
        """The bytes of a document with some members changed."""
        content = document.unseal('repository', 'key', self.config.to_bytes())
        return document.seal('repository', {**content, **changes})

    def test_round_trip(self):
        again = config.RepositoryConfig.from_bytes(self.config.to_bytes())

        self.assertEqual(self.config, again)

    def test_every_repository_has_its_own_key(self):
        other = config.RepositoryConfig.new(self.config.id, 1 << 20)

        self.assertEqual(32, len(other.key))
        self.assertNotEqual(self.config.key, other.key)

    def test_key_is_not_shown(self):
        self.assertNotIn(repr(self.config.key), repr(self.config))

    def test_impossible_ones_are_not_made(self):
        for repository_id, pack_size in (
            ('x', 1 << 20),
            (self.config.id, 1 << 15),
            (self.config.id, 1 << 31),
        ):
            self.assertRaises(
                ValueError,
                config.RepositoryConfig.new,
                repository_id,
                pack_size,
            )

    def test_members_to_come_are_ignored(self):
        again = config.RepositoryConfig.from_bytes(self.changed(new=1))

        self.assertEqual(self.config, again)

    def test_damaged_members_are_told(self):
        domain = {'algorithm': 'blake3-keyed', 'key': '00' * 32}
        for changes in (
            {'id': 'x'},
            {'created_at': None},
            {'features': []},
            {'features': {'read': [], 'write': []}},
            {'features': {'read': [1], 'write': [], 'check': []}},
            {'domains': {}},
            {'domains': {'default': {**domain, 'key': '00'}}},
            {'domains': {'default': {**domain, 'key': 'x' * 64}}},
            {'domains': {'default': {'algorithm': 'blake3-keyed'}}},
            {'limits': {}},
            {'limits': {'pack_size': 2**40}},
        ):
            self.assertRaises(
                errors.Corrupt,
                config.RepositoryConfig.from_bytes,
                self.changed(**changes),
            )

    def test_unknown_algorithm_is_refused(self):
        error = self.assertRaises(
            errors.UnsupportedFormat,
            config.RepositoryConfig.from_bytes,
            self.changed(
                domains={'default': {'algorithm': 'sha3', 'key': '00' * 32}}
            ),
        )
        self.assertIn('sha3', str(error))

    def features(self, **names):
        features = {'read': [], 'write': [], 'check': [], **names}
        return self.changed(features=features)

    def test_unknown_feature_for_reading_is_refused(self):
        # Even if what it changes can't be read at all.
        error = self.assertRaises(
            errors.UnsupportedFormat,
            config.RepositoryConfig.from_bytes,
            self.changed(
                features={'read': ['encryption'], 'write': [], 'check': []},
                domains={'default': {'wrapped_key': 'x'}},
            ),
        )
        self.assertIn('encryption', str(error))

    def test_unknown_feature_for_writing_lets_read(self):
        found = config.RepositoryConfig.from_bytes(
            self.features(write=['moved'])
        )

        found.require_check()
        error = self.assertRaises(
            errors.UnsupportedFormat, found.require_write
        )
        self.assertIn('moved', str(error))

    def test_unknown_feature_for_checking_lets_write(self):
        found = config.RepositoryConfig.from_bytes(
            self.features(check=['parity'])
        )

        found.require_write()
        self.assertRaises(errors.UnsupportedFormat, found.require_check)

    def test_known_features_are_kept(self):
        features = config.Features(write=('a', 'b'))
        made = dataclasses.replace(self.config, features=features)

        self.assertEqual(
            features,
            config.RepositoryConfig.from_bytes(made.to_bytes()).features,
        )
