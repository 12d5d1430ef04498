# SPDX-License-Identifier: Apache-2.0
"""What operators type."""

from tests.functional import command_case


class TestCommands(command_case.CommandTestCase):
    def test_images_by_openstack(self):
        backup = self.backup(self.create_volume())
        listed = self.openstack('image', 'list', '--all-projects')
        self.assertIn(backup, [row['ID'] for row in listed])
        shown = self.openstack('image', 'show', backup)
        self.assertEqual('available', shown['state'])
        self.openstack('image', 'delete', '--wait', backup)
        answer = self.service().get(f'/v1/images/{backup}')
        self.assertEqual(404, answer.status_code)

    def test_images_by_ebackup_manage(self):
        backup = self.backup(self.create_volume())
        listed = self.manage('image', 'list')['images']
        self.assertIn(backup, [image['id'] for image in listed])
        shown = self.manage('image', 'show', backup)['image']
        self.assertEqual('available', shown['state'])
        self.manage('image', 'delete', '--wait', backup)
        answer = self.service().get(f'/v1/images/{backup}')
        self.assertEqual(404, answer.status_code)

    def test_jobs(self):
        backup = self.backup(self.create_volume())
        job = self.jobs(backup, 'backup')[0]['id']
        shown = self.openstack('job', 'show', job)
        self.assertEqual('succeeded', shown['state'])
        self.assertIn(
            job, [row['ID'] for row in self.openstack('job', 'list')]
        )
        managed = self.manage('job', 'show', job)['job']
        self.assertEqual('succeeded', managed['state'])

    def test_repositories_by_openstack(self):
        rows = self.openstack('repository', 'list')
        self.assertIn('default', [row['Name'] for row in rows])
        self.openstack('repository', 'gc', '--wait', 'default')
        self.openstack('repository', 'check', '--wait', 'default')
        usage = self.openstack('repository', 'usage', 'default')
        self.assertLess(0, usage['free'])

    def test_repositories_by_ebackup_manage(self):
        found = self.manage('repository', 'list')['repositories']
        self.assertIn('default', [repository['name'] for repository in found])
        self.manage('repository', 'gc', '--wait', 'default')
        self.manage('repository', 'check', '--wait', 'default')
        usage = self.manage('repository', 'usage', 'default')['usage']
        self.assertLess(0, usage['free'])
