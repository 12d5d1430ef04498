# SPDX-License-Identifier: Apache-2.0
"""What a process leaves that dies while it writes."""

import os
from unittest import mock

from tests.unit.ebackup_service.repository import recording
from tests.unit.ebackup_service.repository.storage import test_nas


class StaleTestCase(test_nas.NasTestCase):
    def setUp(self):
        super().setUp()
        self.storage.create('packs/aa/s/d-1', [b'x'])
        self.crash('packs/aa/s/d-2')
        self.crash('packs/bb/t/d-1')
        self.crash('owner.json')

    def crash(self, key):
        """Leave what a process leaves that is killed in create()."""
        with mock.patch('os.link', side_effect=recording.Crash):
            with mock.patch('os.unlink'):
                self.assertRaises(
                    recording.Crash, self.storage.create, key, [b'x']
                )

    def temporaries(self):
        return [name for name in self.files() if name.endswith('.tmp')]

    def test_half_done_objects_are_not_listed(self):
        self.assertEqual(3, len(self.temporaries()))
        self.assertEqual(
            ['packs/aa/s/d-1'],
            [info.key for info in self.storage.list('')],
        )

    def test_old_ones_go_with_their_directories(self):
        self.assertEqual(3, self.storage.remove_stale('', 0.0))

        self.assertEqual(['packs/aa/s/d-1'], self.files())
        self.assertEqual(['aa'], os.listdir(f'{self.path}/packs'))

    def test_check_may_stop_it_at_any_object(self):
        seen = []
        self.storage.remove_stale('', 60.0, check=lambda: seen.append(1))
        self.assertEqual(len(self.files()), len(seen))
        self.assertRaises(
            ZeroDivisionError,
            *(self.storage.remove_stale, '', 0.0),
            check=lambda: 1 // 0,
        )

    def test_young_ones_stay(self):
        self.assertEqual(0, self.storage.remove_stale('', 60.0))
        self.assertEqual(3, len(self.temporaries()))

    def test_only_those_of_the_prefix_go(self):
        self.assertEqual(2, self.storage.remove_stale('packs/', 0.0))
        self.assertEqual(1, len(self.temporaries()))

    def test_what_is_to_be_kept_stays(self):
        asked = []

        def keep(key):
            asked.append(key)
            return key.startswith('packs/aa')

        self.assertEqual(2, self.storage.remove_stale('', 0.0, keep))
        self.assertEqual(
            ['owner.json', 'packs/aa/s/d-2', 'packs/bb/t/d-1'],
            sorted(asked),
        )
        self.assertEqual(1, len(self.temporaries()))
