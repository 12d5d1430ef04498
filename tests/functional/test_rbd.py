# SPDX-License-Identifier: Apache-2.0
"""Volumes in Ceph: read and written by the proxy itself, in profile ceph.

All that Cinder can hand over is backed up, changed, and restored.
"""

import json
import random
import re
from typing import Any

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
CHUNK = 64 * 1024


class RbdTestCase(ebackup_case.EBackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        if self.lab.profile != 'ceph':
            self.skipTest('the lab has no Ceph')
        self.random = random.Random(self.id())

    def fill(self, volume: str, size: int = base.GIB) -> None:
        """Write some places of a volume, its last bytes among them.

        Objects of Ceph's that are made later it names as a whole.
        """
        for offset, length in (
            (0, 12 * MIB),
            (39 * MIB + 5, 3 * MIB),
            (100 * MIB, 4 * MIB),
            (size - 9, 9),
        ):
            self.write(volume, offset, self.random.randbytes(length))

    def change(self, volume: str, offset: int = 5 * MIB) -> None:
        self.write(volume, offset, self.random.randbytes(CHUNK))

    def result(self, backup: str, kind: str = 'backup') -> dict[str, Any]:
        """The result of an image's newest job of a kind."""
        job = self.jobs(backup, kind)[0]
        self.assertEqual('succeeded', job['state'], job)
        return job['result']

    def snapshots(self, volume: str) -> list[str]:
        """Names of the snapshots that the volume's image has."""
        done = self.lab.rbd(
            *('snap', 'ls', '--format', 'json', f'volume-{volume}')
        )
        return sorted(snapshot['name'] for snapshot in json.loads(done))

    def anchors(self, volume: str) -> list[str]:
        """Ids of the backups of which snapshots are on the storage."""
        found = [
            re.fullmatch(r'backup\.([0-9a-f-]{36})\.snap\..*', name)
            for name in self.snapshots(volume)
        ]
        return [match[1] for match in found if match]

    def wait_for_anchors(self, volume: str, *backups: str) -> None:
        self.wait_for(
            lambda: self.anchors(volume) == sorted(backups),
            f'anchors of {volume} are those of {backups}',
        )

    def assert_restored(self, backup: str, digest: str) -> None:
        """A new volume gets what the backup holds."""
        self.assertEqual(digest, self.sha256(self.restore(backup)))


class TestBackup(RbdTestCase):
    def test_only_what_changed_is_read(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        digests = {}
        first = self.backup(volume)
        digests[first] = self.sha256(volume)
        # Ceph names what is allocated, nothing else is read.
        self.assertLessEqual(self.result(first)['bytes_read'], 28 * MIB)
        self.wait_for_anchors(volume, first)
        for number in range(3):
            self.change(volume, (100 + number) * MIB)
        second = self.backup(volume, incremental=True)
        digests[second] = self.sha256(volume)
        result = self.result(second)
        self.assertEqual('named', result['changes'])
        self.assertEqual(3 * CHUNK, result['bytes_read'])
        self.wait_for_anchors(volume, second)
        third = self.backup(volume)
        digests[third] = digests[second]
        self.assertEqual(0, self.result(third)['bytes_read'])
        self.delete_backup(second)
        self.assert_restored(first, digests[first])
        self.assert_restored(third, digests[third])

    def test_volume_in_use(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        first = self.backup(volume)
        self.change(volume)
        digest = self.sha256(volume)
        attachment = self.use_volume(volume)
        second = self.backup(volume, force=True)
        self.assertEqual(CHUNK, self.result(second)['bytes_read'])
        self.release_volume(volume, attachment)
        self.wait_for_anchors(volume, second)
        self.assert_restored(second, digest)
        self.delete_backup(first)

    def test_snapshots_older_and_newer_than_the_anchor(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        older = self.create_snapshot(volume)
        digest_older = self.sha256(volume)
        self.change(volume, 7 * MIB)
        anchor = self.backup(volume)
        self.change(volume, 8 * MIB)
        newer = self.create_snapshot(volume)
        digest_newer = self.sha256(volume)
        self.change(volume, 9 * MIB)
        for snapshot, digest, changes in (
            (newer, digest_newer, 'named'),
            (older, digest_older, 'compared'),
        ):
            backup = self.backup(volume, snapshot_id=snapshot)
            self.assertEqual(changes, self.result(backup)['changes'])
            self.assert_restored(backup, digest)
        self.wait_for_anchors(volume, anchor)
        last = self.backup(volume)
        self.assertEqual('named', self.result(last)['changes'])
        self.assert_restored(last, self.sha256(volume))
        # Those of Cinder's are left alone.
        self.assertIn(f'snapshot-{older}', self.snapshots(volume))

    def test_clone_of_a_volume(self) -> None:
        origin = self.create_volume()
        self.fill(origin)
        clone = self.create_volume(size=2, source_volume_id=origin)
        self.change(clone, base.GIB + 12 * MIB)
        first = self.backup(clone)
        self.assert_restored(first, self.sha256(clone))
        self.change(clone, MIB)
        second = self.backup(clone)
        self.assertEqual('named', self.result(second)['changes'])
        self.assertEqual(CHUNK, self.result(second)['bytes_read'])
        self.assert_restored(second, self.sha256(clone))

    def test_volume_that_has_grown(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        first = self.backup(volume)
        digest = self.sha256(volume)
        storage = self.demo.block_storage
        storage.extend_volume(volume, 2)
        self.wait_for_status(storage.get_volume, volume, 'available')
        self.change(volume, 2 * base.GIB - CHUNK)
        second = self.backup(volume)
        self.assertEqual('named', self.result(second)['changes'])
        # All of what is new is read, and nothing else.
        self.assertEqual(base.GIB, self.result(second)['bytes_read'])
        self.assert_restored(second, self.sha256(volume))
        self.assert_restored(first, digest)

    def test_encrypted_volume(self) -> None:
        """It has the header of LUKS besides what Cinder says."""
        kind = 'rbd-encrypted'
        volume = self.create_volume(volume_type=kind)
        size = json.loads(
            self.lab.rbd('info', '--format', 'json', f'volume-{volume}')
        )['size']
        self.assertGreater(size, base.GIB)
        self.fill(volume)
        self.write(volume, size - 9, self.random.randbytes(9))
        first = self.backup(volume)
        digest = self.sha256(volume)
        self.change(volume)
        second = self.backup(volume)
        changed = self.sha256(volume)
        self.assertEqual(CHUNK, self.result(second)['bytes_read'])
        other = self.create_volume(volume_type=kind)
        self.restore(second, other)
        self.assertEqual(changed, self.sha256(other))
        self.restore(first, volume)
        self.assertEqual(0, self.result(first, 'restore')['bytes_read'])
        self.assertEqual(digest, self.sha256(volume))


class TestAnchor(RbdTestCase):
    def test_volume_is_deleted_with_its_anchor(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        digest = self.sha256(volume)
        backup = self.backup(volume)
        self.wait_for_anchors(volume, backup)
        storage = self.demo.block_storage
        storage.delete_volume(volume)
        self.wait_until_gone(storage.get_volume, volume)
        self.assertNotIn(f'volume-{volume}', self.lab.rbd('ls'))
        self.assert_restored(backup, digest)

    def test_it_goes_with_the_last_image(self) -> None:
        volume = self.create_volume()
        backup = self.backup(volume)
        self.wait_for_anchors(volume, backup)
        self.delete_backup(backup)
        self.wait_for_anchors(volume)

    def test_one_that_is_gone_is_made_up_for(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        backup = self.backup(volume)
        self.wait_for_anchors(volume, backup)
        [name] = self.snapshots(volume)
        self.lab.rbd('snap', 'rm', f'volume-{volume}@{name}')
        self.change(volume)
        second = self.backup(volume)
        result = self.result(second)
        self.assertEqual('compared', result['changes'])
        self.assertEqual('incremental', result['kind'])
        self.assertEqual(1, result['chunks_stored'])
        self.wait_for_anchors(volume, second)
        self.assert_restored(second, self.sha256(volume))


class TestRestore(RbdTestCase):
    def test_in_place_the_volume_is_not_read(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        digest = self.sha256(volume)
        first = self.backup(volume)
        self.change(volume, 40 * MIB)
        self.backup(volume)
        self.change(volume, 101 * MIB)
        self.restore(first, volume)
        self.assertEqual(digest, self.sha256(volume))
        result = self.result(first, 'restore')
        self.assertEqual(
            ('named', 0), (result['changes'], result['bytes_read'])
        )
        self.assertLessEqual(
            result['bytes_written'] + result['bytes_zeroed'], 2 * CHUNK
        )
        third = self.backup(volume)
        self.assertEqual('named', self.result(third)['changes'])
        self.assertLessEqual(self.result(third)['bytes_read'], 2 * CHUNK)
        self.assert_restored(third, digest)

    def test_to_another_volume_that_holds_something(self) -> None:
        volume, target = self.create_volume(), self.create_volume(size=2)
        for each in (volume, target):
            self.fill(each)
        self.write(target, base.GIB + 5, b'tail')
        backup = self.backup(volume)
        self.restore(backup, target)
        for offset in (0, 39 * MIB, 100 * MIB, base.GIB - 9):
            length = min(4 * MIB, base.GIB - offset)
            self.assertEqual(
                self.read(volume, offset, length),
                self.read(target, offset, length),
            )
        self.assertEqual(b'tail', self.read(target, base.GIB + 5, 4))

    def test_from_one_back_end_to_the_other(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        file = self.create_volume(volume_type='file')
        self.restore(self.backup(volume), file)
        self.assertEqual(self.sha256(volume), self.sha256(file))
        other = self.create_volume()
        self.restore(self.backup(file), other)
        self.assertEqual(self.sha256(volume), self.sha256(other))
