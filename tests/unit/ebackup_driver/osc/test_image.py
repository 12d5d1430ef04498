# SPDX-License-Identifier: Apache-2.0
from ebackup_driver import errors
from ebackup_driver.osc import image
from tests.unit.ebackup_driver.osc import base


class TestList(base.CommandTestCase):
    def setUp(self):
        super().setUp()
        for n in range(3):
            self.make_image(f'i{n}')

    def test_json_has_bytes_as_numbers(self):
        rows = self.json(image.ListImages)
        self.assertEqual(['i0', 'i1', 'i2'], [row['ID'] for row in rows])
        self.assertEqual(1 << 30, rows[0]['Size'])
        self.assertEqual('available', rows[0]['State'])

    def test_people_get_units(self):
        self.assertIn('1.0 GiB', self.text(image.ListImages))

    def test_long_has_more(self):
        row = self.json(image.ListImages, '--long')[0]
        self.assertEqual('default', row['Repository'])
        self.assertEqual(1, row['Generation'])

    def test_filters_are_the_services(self):
        self.json(
            image.ListImages,
            '--volume',
            'v1',
            '--state',
            'error',
            '--project',
            'p1',
            '--all-projects',
        )
        query = self.service.requests[-1].query
        for part in (
            'volume_id=v1',
            'state=error',
            'project_id=p1',
            'all_projects=true',
        ):
            self.assertIn(part, query)

    def test_the_formats_of_openstackclient_remain(self):
        self.assertEqual(
            'i0\ni1\ni2\n',
            self.text(image.ListImages, '-f', 'value', '-c', 'ID'),
        )


class TestShow(base.CommandTestCase):
    def test_shows_every_field(self):
        self.make_image()
        shown = self.json(image.ShowImage, 'i1')
        self.assertEqual('i1', shown['id'])
        self.assertEqual(1 << 30, shown['bytes_read'])
        self.assertEqual('full', shown['kind'])

    def test_people_get_units(self):
        self.make_image()
        self.assertRegex(
            self.text(image.ShowImage, 'i1'), r'bytes_stored +\| 4\.0 KiB'
        )

    def test_the_unknown_is_an_error(self):
        self.assertRaises(
            errors.NotFound, self.run_command, image.ShowImage, 'i1'
        )


class TestSet(base.CommandTestCase):
    def test_allows_and_refuses(self):
        self.make_image()
        for option, value in (
            ('--restore-damaged', True),
            ('--no-restore-damaged', False),
        ):
            shown = self.json(image.SetImage, 'i1', option)
            self.assertIs(value, shown['restore_damaged'])

    def test_the_unknown_is_an_error(self):
        self.assertRaises(
            errors.NotFound,
            self.run_command,
            image.SetImage,
            'i1',
            '--restore-damaged',
        )


class TestDelete(base.CommandTestCase):
    def test_shows_the_job(self):
        self.make_image()
        (row,) = self.json(image.DeleteImage, 'i1')
        self.assertEqual('i1', row['Image'])
        self.assertIn(row['Job'], self.service.jobs)
        self.assertEqual('pending', row['Job State'])

    def test_waits_if_told_to(self):
        self.make_image()
        self.make_image('i2')
        rows = self.json(image.DeleteImage, 'i1', 'i2', '--wait')
        self.assertEqual(['succeeded'] * 2, [row['Job State'] for row in rows])
        self.assertEqual({}, self.service.images)

    def test_of_the_deleted_has_no_job(self):
        (row,) = self.json(image.DeleteImage, 'i1', '--wait')
        self.assertEqual(
            {'Image': 'i1', 'Job': None, 'Job State': 'deleted'}, row
        )

    def test_that_fails_is_an_error(self):
        self.make_image()
        self.service.failure = ('read-only', 'Read-only file system.')
        self.assertRegex(
            self.failure(image.DeleteImage, 'i1', '--wait'),
            r'^delete job \S+ failed: Read-only file system\.$',
        )
