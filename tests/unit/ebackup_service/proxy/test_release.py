# SPDX-License-Identifier: Apache-2.0
import os

import fixtures

from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import release
from ebackup_service.server import snapshots
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.proxy import volumes_case

SIZE = volumes_case.SIZE


class TestRelease(volumes_case.VolumesTestCase):
    def test_snapshot_of_another_id_stays(self):
        task = self.task()
        self.assertRaises(volumes_case.Stopped, self.stop_after_taking, task)
        lun = self.lun()
        [(number, name)] = lun.snapshots().items()
        lun.drop_snapshot(production.Snapshot(number, name))
        lun.take_snapshot(name)
        self.fixture.finish(task.spec, 'failed')
        self.release()
        self.assertEqual([], self.known())
        self.assertEqual([name], self.on_storage())

    def stop_after_taking(self, task):
        def stop(*args):
            raise volumes_case.Stopped()

        with fixtures.MonkeyPatch(
            'ebackup_service.engine.backup.run_backup', stop
        ):
            backup.run(task)

    def test_volume_that_is_gone(self):
        self.back_up()
        self.change(1)
        self.back_up()
        self.storage.remove('volume')
        self.release()
        self.assertEqual(self.known(state='anchor'), self.known())

    def test_volume_that_was_replaced(self):
        self.back_up()
        self.change(1)
        self.back_up()
        self.storage.make('volume', SIZE)
        self.release()
        self.assertEqual(self.known(state='anchor'), self.known())

    def test_volume_that_has_another_name(self):
        self.back_up()
        self.change(1)
        self.back_up()
        for end in '', '.d':
            os.rename(self.path + end, f'{self.path}-2{end}')
        self.release()
        os.rename(f'{self.path}-2', self.path)
        os.rename(f'{self.path}-2.d', f'{self.path}.d')
        self.tidy()

    def test_volume_that_is_not_found_may_be_there(self):
        error = production_errors.VolumeUnknown('there is no such pool')
        self.assertEqual(4, self.tries(error))
        self.assertEqual(4, len(self.known(state='condemned')))

    def test_one_that_is_busy_keeps_nobody_waiting(self):
        for _ in range(3):
            self.back_up()
        condemned = self.known(state='condemned')
        drop = folder.FolderLun.drop_snapshot

        def dropped(lun, snapshot):
            if snapshot.name == condemned[0]:
                raise production_errors.SnapshotBusy('a clone depends on it')
            drop(lun, snapshot)

        self.patch(folder.FolderLun, 'drop_snapshot', dropped)
        self.release()
        self.assertEqual(condemned[:1], self.known(state='condemned'))

    def tries(self, error):
        """How often the storage is asked for four snapshots, and fails."""
        for _ in range(5):
            self.back_up()
        asked = []

        def find(storage, reference, key):
            asked.append(reference)
            raise error

        self.announce()
        snapshots.schedule(self.catalog, self.conf)
        [spec] = self.fixture.assign().values()
        self.patch(folder.FolderStorage, 'find_kept', find)
        task = self.fixture.task(spec)
        self.assertRaises(type(error), release.run, task)
        self.fixture.finish(spec, 'failed')
        return len(asked)

    def test_storage_that_is_away(self):
        error = production_errors.SourceUnavailable('no answer')
        self.assertEqual(4, self.tries(error))

    def test_wrong_credentials_are_tried_once(self):
        error = production_errors.AccessDenied('the key was changed')
        self.assertEqual(1, self.tries(error))
