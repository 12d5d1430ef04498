# SPDX-License-Identifier: Apache-2.0
import io
import json
import threading

from cinder import exception
from cinder import utils

from os_brick.initiator import linuxrbd
from oslo_utils import units

from tests.unit.ebackup_driver import base
from tests.unit.ebackup_driver import cinder_records


class NamedOnly:
    """Something with a name and nothing else that could be touched."""

    def __init__(self, name):
        self.name = name

    def fileno(self):
        raise io.UnsupportedOperation('fileno')

    def __getattr__(self, attribute):
        raise AssertionError(f'volume_file.{attribute} was used')


class BackupTestCase(base.DriverTestCase):
    def setUp(self):
        super().setUp()
        self.volume = cinder_records.volume(size=2)
        self.backup = cinder_records.backup(self.volume)

    def make(self, volume_file=None):
        return self.driver().backup(
            self.backup, volume_file or self.volume_file
        )

    def request(self):
        return self.service.image_requests[self.backup.id]


class TestBackup(BackupTestCase):
    def test_asks_for_an_image_with_the_backups_id(self):
        self.make()
        request = self.request()
        self.assertEqual(cinder_records.PROJECT, request['project_id'])
        self.assertEqual(self.volume.id, request['volume']['id'])
        self.assertEqual(2 * units.Gi, request['volume']['size'])
        self.assertEqual(self.backup.id, request['record']['id'])

    def test_tells_where_the_volume_is_attached(self):
        self.make()
        (attachment,) = self.service.attachments.values()
        self.assertIsInstance(attachment.pop('lock'), int)
        self.assertEqual(
            {'kind': 'attached', 'host': 'backup-host', 'path': self.path},
            attachment,
        )

    def test_holds_the_volume_while_the_job_runs(self):
        held = []
        self.at('POST', base.BEAT, lambda: held.append(self.is_held()), 2)
        self.service.beats_needed = 3
        self.make()
        self.assertEqual([True], held)
        self.assertFalse(self.is_held())

    def test_returns_only_when_the_job_has_ended(self):
        self.service.beats_needed = 4
        self.make()
        self.assertEqual(4, len(self.service.said('POST', base.BEAT)))
        self.assertEqual(['succeeded'], self.job_states())

    def test_reports_the_figures_in_service_metadata(self):
        updates = self.make()
        self.assertEqual(
            {
                'v': 1,
                'kind': 'full',
                'read': 2 * units.Gi,
                'stored': 4096,
                'gen': 1,
            },
            json.loads(updates['service_metadata']),
        )

    def test_accepts_an_image_that_is_there_already(self):
        first = self.make()
        requests = len(self.service.requests)
        self.assertEqual(first, self.make())
        self.assertEqual(requests + 1, len(self.service.requests))

    def test_attaches_again_when_it_is_asked_again(self):
        self.service.beats_needed = 3

        def move():
            for job in self.service.jobs.values():
                job['needs'] = 'attachment'

        self.at('POST', base.BEAT, move, nth=2)
        self.make()
        attached = self.service.said('PUT', base.JOB + '/attachment')
        self.assertEqual(2, len(attached))

    def test_says_by_which_request_of_cinder_it_was_asked(self):
        driver = self.driver()
        driver.backup(self.backup, self.volume_file)
        self.assertEqual(
            {driver.context.request_id},
            {
                r.headers['HTTP_X_OPENSTACK_REQUEST_ID']
                for r in self.service.requests
            },
        )

    def test_many_at_once_share_one_connection(self):
        backups = [cinder_records.backup(self.volume) for _ in range(8)]
        results = {}

        def make(backup):
            results[backup.id] = self.driver().backup(backup, self.volume_file)

        threads = [threading.Thread(target=make, args=(b,)) for b in backups]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        generations = {
            json.loads(updates['service_metadata'])['gen']
            for updates in results.values()
        }
        self.assertEqual(set(range(1, 9)), generations)


class TestVolumeFile(BackupTestCase):
    def test_only_its_name_and_descriptor_are_used(self):
        self.make(NamedOnly('/dev/loop7'))
        (attachment,) = self.service.attachments.values()
        self.assertEqual('/dev/loop7', attachment['path'])

    def test_what_can_not_be_locked_is_backed_up_all_the_same(self):
        self.make(NamedOnly('/dev/loop7'))
        (attachment,) = self.service.attachments.values()
        self.assertNotIn('lock', attachment)
        self.assertEqual(['succeeded'], self.job_states())

    def test_may_be_a_proxy_of_eventlet(self):
        with open(self.path, 'rb') as stream:
            self.make(utils.tpool.Proxy(stream))
        (attachment,) = self.service.attachments.values()
        self.assertEqual(self.path, attachment['path'])

    def rbd_image(self):
        meta = linuxrbd.RBDImageMetadata(None, 'volumes', 'cinder', None)
        return utils.tpool.Proxy(linuxrbd.RBDVolumeIOWrapper(meta))

    def test_an_rbd_image_is_refused_and_its_job_cancelled(self):
        error = self.assertRaises(
            exception.BackupDriverException, self.make, self.rbd_image()
        )
        self.assertTrue(str(error).startswith('Volume has no device'))
        self.assertIn('ebackup storage create', str(error))
        self.assertEqual(
            ['cancelled'], [j['state'] for j in self.service.jobs.values()]
        )

    def test_an_rbd_image_that_proxies_reach_is_not_looked_at(self):
        self.service.reaches_volumes = True
        self.make(self.rbd_image())
        self.assertEqual({}, self.service.attachments)
        [image] = self.service.images.values()
        self.assertEqual('available', image['state'])

    def test_a_directory_is_refused(self):
        # What some connectors give; not even an attribute "name".
        self.assertRaises(
            exception.BackupDriverException, self.make, '/mnt/share'
        )

    def test_a_file_opened_by_descriptor_is_refused(self):
        self.assertRaises(
            exception.BackupDriverException, self.make, NamedOnly(7)
        )


class TestParent(BackupTestCase):
    def setUp(self):
        super().setUp()
        self.parent = cinder_records.backup(self.volume, status='available')
        self.backup = cinder_records.backup(
            self.volume, parent_id=self.parent.id
        )

    def stored_parent(self):
        return cinder_records.stored(self.backup.id).parent_id

    def test_is_cleared_before_the_service_is_asked(self):
        seen = []
        self.at('PUT', base.IMAGE, lambda: seen.append(self.stored_parent()))
        updates = self.make()
        self.assertEqual([None], seen)
        self.assertIn('parent_id', updates)
        self.assertIsNone(updates['parent_id'])

    def test_is_cleared_of_a_backup_that_fails(self):
        self.service.failure = ('disk-error', 'Input/output error.')
        self.assertRaises(exception.BackupDriverException, self.make)
        self.assertIsNone(self.stored_parent())

    def test_stays_if_so_configured(self):
        self.configure(clear_parent=False)
        updates = self.make()
        self.assertNotIn('parent_id', updates)
        self.assertEqual(self.parent.id, self.stored_parent())


class TestRepository(BackupTestCase):
    def test_is_the_services_default(self):
        self.make()
        self.assertIsNone(self.request()['repository'])

    def test_is_the_configured_one(self):
        self.configure(repository='vault')
        self.make()
        self.assertEqual('vault', self.request()['repository'])

    def test_is_the_container_that_the_user_asked_for(self):
        self.configure(repository='vault')
        self.backup = cinder_records.backup(self.volume, container='archive')
        self.make()
        self.assertEqual('archive', self.request()['repository'])
