# SPDX-License-Identifier: Apache-2.0
import json
import os

from tests.unit.ebackup_service.cmd.manage import base


class ExportTest(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.images = [self.make_image(), self.make_image()]
        self.words = ('repository', 'export-records', 'default')

    def test_a_line_for_each_has_what_the_import_takes(self):
        code, out, _err = self.run_command(*self.words)
        self.assertEqual(0, code)
        lines = [line.split(' ') for line in out.splitlines()]
        self.assertEqual(set(self.images), {line[1] for line in lines})
        for project, _image, service, url in lines:
            self.assertEqual(base.api_base.OWN, project)
            self.assertEqual('ebackup_driver.driver.EBackupDriver', service)
            self.assertRegex(url, '^[A-Za-z0-9+/=]+$')

    def test_json_says_more(self):
        found = self.ask(*self.words)['records']
        self.assertEqual(set(self.images), {one['id'] for one in found})
        for one in found:
            self.assertEqual(base.api_base.OWN, one['project_id'])
            self.assertIn('backup_url', one)

    def test_nothing_is_valid_json_as_well(self):
        answer = self.ask(*self.words, '--project-id', 'x')
        self.assertEqual({'records': []}, answer)

    def test_filters(self):
        volume_id = '11111111-2222-4333-8444-555555555555'
        image = self.make_image(volume={'id': volume_id, 'size': 1})
        found = self.ask(*self.words, '--volume-id', volume_id)['records']
        self.assertEqual([image], [one['id'] for one in found])

    def test_file_is_for_its_owner_only(self):
        path = f'{self.directory}/records'
        answer = self.ask(*self.words, '--output', path)
        self.assertEqual({'file': path, 'records': 2}, answer['export'])
        with open(path) as file:
            self.assertEqual(2, len(json.load(file)['records']))
        self.assertEqual(0o600, os.stat(path).st_mode & 0o777)

    def test_file_that_exists_is_not_overwritten(self):
        path = f'{self.directory}/records'
        with open(path, 'w') as file:
            file.write('mine')
        self.refused(1, *self.words, '--output', path)
        with open(path) as file:
            self.assertEqual('mine', file.read())

    def test_unknown_repository(self):
        self.refused(3, 'repository', 'export-records', 'other')
