# SPDX-License-Identifier: Apache-2.0
"""Volumes in Ceph: read and written by the proxy itself, in profile ceph.

All that Cinder can hand over is backed up, changed, and restored.
"""

import json
import os
import random
import re
import signal
import time
from typing import Any

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
CHUNK = base.CHUNK
LEAF = 256 * CHUNK
# What three workers read before a checkpoint is made, at most, if a stage is a
# leaf: that, and a leaf each.
AHEAD = 4 * LEAF


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

    def size_of(self, volume: str) -> int:
        """Bytes of the volume's image."""
        printed = self.lab.rbd('info', '--format', 'json', f'volume-{volume}')
        return int(json.loads(printed)['size'])

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

    def wait_until_unlocked(self, volume: str) -> None:
        command = ('lock', 'ls', '--format', 'json', f'volume-{volume}')
        self.wait_for(
            lambda: not json.loads(self.lab.rbd(*command)),
            f'nobody has {volume} for himself',
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

    def test_boot_volume(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        self.make_bootable(volume, hw_disk_bus='scsi')
        restored = self.restore(self.backup(volume))
        self.assertEqual(self.sha256(volume), self.sha256(restored))
        found = self.demo.block_storage.get_volume(restored)
        self.assertTrue(found.is_bootable)
        self.assertEqual('scsi', found.volume_image_metadata['hw_disk_bus'])

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
        size = self.size_of(volume)
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

    def test_volume_that_is_reverted_to_a_snapshot(self) -> None:
        """One before the anchor: the difference to that is told the same."""
        volume = self.create_volume()
        self.fill(volume)
        self.backup(volume)
        snapshot = self.create_snapshot(volume)
        before = self.sha256(volume)
        # Other bytes, some where none were, and none where some were.
        self.change(volume, 5 * MIB)
        self.change(volume, 200 * MIB)
        self.write(volume, 100 * MIB, bytes(4 * MIB))
        second = self.backup(volume)
        after = self.sha256(volume)
        # While the first anchor is removed, Ceph lets nobody else revert.
        self.wait_for_anchors(volume, second)
        self.wait_until_unlocked(volume)
        storage = self.demo.block_storage
        storage.revert_volume_to_snapshot(volume, snapshot)
        self.wait_for_status(storage.get_volume, volume, 'available')
        self.assertEqual(before, self.sha256(volume))
        third = self.backup(volume)
        result = self.result(third)
        self.assertEqual('named', result['changes'])
        self.assertEqual(4 * MIB + CHUNK, result['bytes_read'])
        self.assert_restored(third, before)
        self.restore(second, volume)
        self.assertEqual('named', self.result(second, 'restore')['changes'])
        self.assertEqual(after, self.sha256(volume))


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
        behind = self.sha256(target, base.GIB, 2 * base.GIB)
        backup = self.backup(volume)
        self.restore(backup, target)
        whole, tail = (0, base.GIB), (base.GIB, 2 * base.GIB)
        self.assertEqual(self.sha256(volume), self.sha256(target, *whole))
        self.assertEqual(behind, self.sha256(target, *tail))

    def test_from_one_back_end_to_the_other(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        file = self.create_volume(volume_type='file')
        self.restore(self.backup(volume), file)
        self.assertEqual(self.sha256(volume), self.sha256(file))
        other = self.create_volume()
        self.restore(self.backup(file), other)
        self.assertEqual(self.sha256(volume), self.sha256(other))


class TestInterruption(RbdTestCase):
    """The proxy, or Ceph, is away in the middle of a job."""

    def slow(self) -> None:
        self.throttle = self.useFixture(
            ebackup_case.Throttle(self.lab, 16 * MIB, checkpoint_size=LEAF)
        )

    def start(self) -> tuple[str, str]:
        """A backup of a volume of 256 MiB, past its first checkpoint.

        Three workers have read a leaf each.
        """
        volume = self.create_volume()
        for offset in range(0, 256 * MIB, 32 * MIB):
            self.write(volume, offset, self.random.randbytes(32 * MIB))
        self.digest = self.sha256(volume)
        backup = self.start_backup(volume)

        def advanced() -> bool:
            progress = self.wait_for_progress(backup, 'backup')['progress']
            return progress['bytes_done'] > 3 * LEAF + 16 * MIB

        self.wait_for(advanced, 'a checkpoint')
        return volume, backup

    def ends_well(self, volume: str, backup: str, *runs: int) -> None:
        self.wait_for_backup(backup, 'available')
        job = self.jobs(backup, 'backup')[0]
        self.assertEqual('succeeded', job['state'])
        self.assertIn(job['runs'], runs)
        self.wait_for_anchors(volume, backup)
        self.assert_restored(backup, self.digest)

    def test_snapshot_that_was_taken_is_read_on_after_a_kill(self) -> None:
        self.slow()
        volume, backup = self.start()
        before = self.snapshots(volume)
        self.addCleanup(self.lab.run, 'up')
        self.lab.run('kill', 'ebackup')
        # Not what was backed up until then, nor what shall be.
        self.change(volume, 250 * MIB)
        self.throttle.lift()
        self.lab.run('up')
        self.ends_well(volume, backup, 2)
        self.assertEqual(before, self.snapshots(volume))

    def test_of_a_job_that_does_not_go_on_nothing_is_left(self) -> None:
        self.slow()
        volume, backup = self.start()
        self.addCleanup(self.lab.run, 'up')
        self.lab.run('kill', 'ebackup')
        self.lab.run('up')
        self.assertEqual([backup], self.anchors(volume))
        storage = self.admin.block_storage
        storage.delete_backup(backup, force=True)
        self.wait_until_gone(storage.get_backup, backup)
        self.wait_for_anchors(volume)
        self.wait_for_status(storage.get_volume, volume, 'available')
        following = self.backup(volume)
        self.wait_for_anchors(volume, following)
        self.assert_restored(following, self.digest)

    def test_osd_that_hangs_for_a_while_is_waited_for(self) -> None:
        self.slow()
        volume, backup = self.start()
        status = self.lab.status()['services']
        [osd] = [one['pid'] for one in status if one['name'] == 'ceph-osd']
        os.kill(osd, signal.SIGSTOP)
        try:
            # What was on its way arrives, and is reported.
            time.sleep(3)
            done = self.jobs(backup, 'backup')[0]['progress']['bytes_done']
            time.sleep(5)
            later = self.jobs(backup, 'backup')[0]['progress']['bytes_done']
        finally:
            os.kill(osd, signal.SIGCONT)
        self.assertEqual(done, later)
        self.assertLess(done, 256 * MIB)
        self.ends_well(volume, backup, 1)

    def impatient(self, runs: int) -> None:
        options = self.lab.directory / 'etc/ebackup.d/impatient.conf'
        options.write_text(
            f'[ceph]\ntimeout = 2\n[server]\nmax_runs = {runs}\n'
        )
        self.addCleanup(self.lab.run, 'up')
        self.slow()
        # Before the throttle's end starts the proxy anew.
        self.addCleanup(options.unlink)

    def test_ceph_that_comes_back_costs_no_backup(self) -> None:
        self.impatient(5)
        volume, backup = self.start()
        self.lab.run('kill', 'ceph-osd')
        job = self.jobs(backup, 'backup')[0]['id']
        self.wait_for(
            lambda: self.job(job)['state'] == 'pending', 'the job waits'
        )
        self.lab.run('start', 'ceph-osd')
        self.ends_well(volume, backup, 2, 3)
        result = self.job(job)['result']
        self.assertLessEqual(result['bytes_reread'], AHEAD)

    def test_ceph_that_stays_away_costs_one_backup(self) -> None:
        self.impatient(2)
        volume, backup = self.start()
        self.lab.run('kill', 'ceph-osd')
        job = self.wait_for_job(self.jobs(backup, 'backup')[0]['id'])
        self.assertEqual('source-unavailable', job['error']['kind'])
        self.assertIn('Ceph', job['error']['message'])
        # Until then Cinder waits for it, too.
        self.lab.run('up')
        self.wait_for_backup(backup, 'error')
        self.wait_for_anchors(volume)
        following = self.backup(volume)
        self.wait_for_anchors(volume, following)
        self.assert_restored(following, self.digest)


class TestRetype(RbdTestCase):
    def retype(self, volume: str, wanted: str) -> None:
        storage = self.demo.block_storage
        self.admin.block_storage.retype_volume(volume, wanted, 'on-demand')

        def retyped() -> bool:
            found = storage.get_volume(volume)
            self.assertNotEqual('error', found.status)
            return found.volume_type == wanted and found.status == 'available'

        self.wait_for(retyped, f'{volume} is of type {wanted}')

    def test_chain_goes_on_though_the_volume_lives_elsewhere(self) -> None:
        volume = self.create_volume()
        self.fill(volume)
        first = self.backup(volume)
        digest = self.sha256(volume)
        for wanted in ('file', 'rbd'):
            self.retype(volume, wanted)
            backup = self.backup(volume, incremental=True)
            result = self.result(backup)
            self.assertEqual('incremental', result['kind'])
            self.assertEqual(0, result['chunks_stored'])
            self.assert_restored(backup, digest)
        self.assertEqual('compared', result['changes'])
        self.assert_restored(first, digest)
