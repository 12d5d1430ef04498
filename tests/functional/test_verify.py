# SPDX-License-Identifier: Apache-2.0
"""Damage in the repository: found, told, healed, and left out."""

import os
from typing import Any

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
CHUNK = base.CHUNK
# The chunk that is damaged, and where it is in the volume.
NUMBER = 3
LOST = [[NUMBER * CHUNK, CHUNK]]
# Of a pack, and of a record in it.
PACK_HEADER = 128
RECORD = 64 + CHUNK


class VerifyTestCase(ebackup_case.EBackupTestCase):
    """Two images that share a chunk; one bit of it is flipped."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.create_volume()
        # All in one leaf, so that one worker stores it in this order.
        self.write(self.volume, 0, os.urandom(8 * MIB))
        self.digest = self.sha256(self.volume)
        self.backups = [self.backup(self.volume) for _ in range(2)]
        self.flip()
        self.result = self.check(read_data=True)

    def flip(self) -> None:
        """Change one bit of the chunk; twice is not at all."""
        session = self.jobs(self.backups[0], 'backup')[0]['id']
        packs = self.lab.directory / 'repository/packs' / session[:2] / session
        [pack] = packs.glob('d-*')
        pack.chmod(0o600)
        with pack.open('r+b') as file:
            file.seek(PACK_HEADER + NUMBER * RECORD + 12345)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))

    def check(self, **options: Any) -> dict[str, Any]:
        """Return the result of a check of the repository."""
        path = '/v1/repositories/default/check'
        job = self.call('POST', path, **options)['job']
        job = self.wait_for_job(job['id'])
        self.assertEqual('succeeded', job['state'], job)
        return job['result']

    def damage(self, backup: str) -> list[list[int]]:
        image = self.image(backup)
        self.assertEqual(
            image['damaged_bytes'],
            sum(length for _, length in image['damaged_extents']),
        )
        return image['damaged_extents']

    def test_damage_is_told_and_healed_by_the_next_backup(self):
        [chunk] = self.result['damaged_chunks']
        self.assertEqual(
            {backup: [NUMBER * CHUNK] for backup in self.backups},
            {image['image_id']: image['offsets'] for image in chunk['images']},
        )
        for backup in self.backups:
            self.assertEqual(LOST, self.damage(backup))

        third = self.backup(self.volume)

        stored = self.image(third)['bytes_stored']
        self.assertEqual(CHUNK, stored // CHUNK * CHUNK)
        self.assertEqual(self.digest, self.sha256(self.restore(third)))
        self.assertEqual(1, self.check()['repaired_chunks'])
        for backup in *self.backups, third:
            self.assertEqual([], self.damage(backup))
        restored = self.restore(self.backups[0])
        self.assertEqual(self.digest, self.sha256(restored))

    def test_rest_of_an_image_is_restored_when_an_operator_allows_it(self):
        backup = self.backups[0]
        refused = self.start_restore(backup)
        # Until Cinder has begun, the volume may still be what it was.
        self.wait_for_backup(backup, 'available')
        fetch = self.demo.block_storage.get_volume
        self.wait_for_status(fetch, refused, 'error_restoring')

        self.call(
            'PATCH', f'/v1/images/{backup}', image={'restore_damaged': True}
        )
        restored = self.restore(backup)

        job = self.jobs(backup, 'restore')[0]
        self.assertEqual(LOST, job['result']['damaged_extents'])
        self.assertIn(f'{CHUNK} bytes', job['warning'])
        [[offset, length]] = LOST
        self.assertEqual(bytes(length), self.read(restored, offset, length))
        self.write(restored, offset, self.read(self.volume, offset, length))
        self.assertEqual(self.digest, self.sha256(restored))
