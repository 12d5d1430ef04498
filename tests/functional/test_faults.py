# SPDX-License-Identifier: Apache-2.0
"""Services that are not there, or are killed in the middle for good.

Those that come back are in test_interruption.
"""

import os

from tests.functional import base
from tests.functional import fault_case

MIB = base.MIB
# Bytes after which a session has stored its first pack.
PACK = 32 * MIB


class FaultTestCase(fault_case.FaultTestCase):
    def filled(self) -> str:
        volume = self.create_volume()
        self.write(volume, 7 * MIB, os.urandom(4 * MIB))
        return volume

    def can_be_restored_to_again(self, volume: str, backup: str) -> None:
        self.wait_for_backup(backup, 'available')
        self.admin.block_storage.reset_volume_status(
            volume, 'available', 'detached', 'none'
        )
        self.restore(backup, volume)

    def test_service_unreachable_when_cinder_calls(self):
        source, target = self.filled(), self.filled()
        kept, doomed = self.backup(source), self.backup(source)
        before = self.sha256(target)
        self.end('stop', 'ebackup-api')
        made = self.start_backup(self.volume)
        self.start_restore(kept, target)
        self.demo.block_storage.delete_backup(doomed)
        cause = 'Connection refused: no connection to http'
        for backup in made, doomed:
            found = self.wait_for_backup(backup, 'error')
            self.assertRegex(found.fail_reason, f'^{cause}')
        self.wait_for_volume('available')
        self.wait_for_volume('error_restoring', volume=target)
        self.assertEqual(before, self.sha256(target))
        failed = f'Restoring backup {kept} to volume {target} failed'
        self.wait_for_log('cinder-backup', failed, cause)
        self.lab.run('start', self.lab.service('ebackup-api'))
        self.next_backup_is_right()
        self.can_be_restored_to_again(target, kept)
        self.assertEqual(self.sha256(source), self.sha256(target))
        self.assertEqual('available', self.image(doomed)['state'])
        self.delete_backup(doomed)
        answer = self.service().get(f'/v1/images/{doomed}')
        self.assertEqual(404, answer.status_code)

    def test_service_killed_in_the_middle_stays_away(self):
        self.collect()
        before = self.used()
        source, target = self.filled(), self.create_volume()
        kept = self.backup(source)
        needed = self.used() - before
        self.write(self.volume, 0, os.urandom(4 * PACK))
        self.digest = self.sha256(self.volume)
        self.slow()
        started = self.start_backup(self.volume)
        self.wait_for(
            lambda: self.used() > before + needed + PACK - MIB,
            'a pack of the backup',
        )
        # This one has something to read, too, before it comes to its data.
        self.start_restore(kept, target)
        restore = self.wait_for_progress(kept, 'restore')
        self.end('kill', 'ebackup-proxy')
        found = self.wait_for_backup(started, 'error')
        cause = 'Connection refused: no connection to http'
        if self.lab.separate:
            # The API is there, and says what is not.
            cause = 'No proxy runs on host'
        self.assertRegex(found.fail_reason, f'^{cause}')
        self.wait_for_volume('available')
        self.wait_for_volume('error_restoring', volume=target)
        self.all_up_at_full_speed()
        backup = self.jobs(started, 'backup')[0]
        for job in backup, restore:
            ended = self.wait_for_job(job['id'])
            self.assertEqual('failed', ended['state'], ended)
        # What there was is there, what was tried can be tried again,
        self.assertEqual(self.sha256(source), self.sha256(self.restore(kept)))
        self.can_be_restored_to_again(target, kept)
        self.assertEqual(self.sha256(source), self.sha256(target))
        following = self.next_backup_is_right()
        # and nothing is left of what came to no end.
        self.collect()
        needed += self.image(following)['bytes_stored']
        self.assertLess(self.used(), before + needed + 2 * MIB)
