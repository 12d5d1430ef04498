# SPDX-License-Identifier: Apache-2.0
import json

from ebackup_driver import errors
from ebackup_driver.osc import image
from tests.unit.ebackup_driver.osc import base
from tests.unit.ebackup_driver import played_service


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
        shown = self.json(image.ShowImage, base.IMAGE)
        self.assertEqual(base.IMAGE, shown['id'])
        self.assertEqual(1 << 30, shown['bytes_read'])
        self.assertEqual('full', shown['kind'])

    def test_people_get_units(self):
        self.make_image()
        self.assertRegex(
            self.text(image.ShowImage, base.IMAGE),
            r'bytes_stored +\| 4\.0 KiB',
        )

    def test_the_unknown_is_an_error(self):
        self.assertRaises(
            errors.NotFound, self.run_command, image.ShowImage, base.IMAGE
        )

    def test_what_is_no_id_is_told(self):
        self.assertIn(
            "'nonsense' is no ID", self.misused(image.ShowImage, 'nonsense')
        )

    def test_upper_case_is_understood(self):
        self.make_image()
        shown = self.json(image.ShowImage, base.IMAGE.upper())
        self.assertEqual(base.IMAGE, shown['id'])


class TestSet(base.CommandTestCase):
    def test_allows_and_refuses(self):
        self.make_image()
        for option, value in (
            ('--restore-damaged', True),
            ('--no-restore-damaged', False),
        ):
            shown = self.json(image.SetImage, base.IMAGE, option)
            self.assertIs(value, shown['restore_damaged'])

    def test_the_unknown_is_an_error(self):
        self.assertRaises(
            errors.NotFound,
            self.run_command,
            image.SetImage,
            base.IMAGE,
            '--restore-damaged',
        )


class TestDelete(base.CommandTestCase):
    OTHER = '11111111-2222-4333-8444-666666666666'

    def deleted(self):
        return [r.path for r in self.service.said('DELETE', '.*')]

    def failed(self, *arguments):
        """Return the rows that are shown, and what is said at the end."""
        said = self.failure(image.DeleteImage, *arguments, '--json')
        return json.loads(self.stdout.getvalue()), said

    def test_shows_the_job(self):
        self.make_image()
        (row,) = self.json(image.DeleteImage, base.IMAGE)
        self.assertEqual(base.IMAGE, row['Image'])
        self.assertIn(row['Job'], self.service.jobs)
        self.assertEqual('pending', row['Job State'])

    def test_waits_if_told_to(self):
        self.make_image()
        self.make_image(self.OTHER)
        rows = self.json(image.DeleteImage, base.IMAGE, self.OTHER, '--wait')
        self.assertEqual(['succeeded'] * 2, [row['Job State'] for row in rows])
        self.assertEqual({}, self.service.images)

    def test_of_what_another_deletes_meanwhile_has_no_job(self):
        self.make_image()

        def another_is_quicker(request):
            if request.method == 'DELETE':
                self.service.images.clear()

        self.service.hooks.append(another_is_quicker)
        (row,) = self.json(image.DeleteImage, base.IMAGE, '--wait')
        self.assertEqual(
            {'Image': base.IMAGE, 'Job': None, 'Job State': 'deleted'}, row
        )

    def test_of_the_unknown_leaves_no_tombstone(self):
        rows, said = self.failed(base.IMAGE)
        self.assertEqual(f'No image {base.IMAGE}.', said)
        self.assertEqual(
            [{'Image': base.IMAGE, 'Job': None, 'Job State': None}], rows
        )
        self.assertEqual([], self.deleted())

    def test_of_the_unknown_among_others_shows_what_was_deleted(self):
        self.make_image()
        rows, said = self.failed(self.OTHER, base.IMAGE)
        self.assertEqual(f'No image {self.OTHER}.', said)
        self.assertEqual(
            [(self.OTHER, None), (base.IMAGE, 'pending')],
            [(row['Image'], row['Job State']) for row in rows],
        )
        self.assertEqual([f'/v1/images/{base.IMAGE}'], self.deleted())

    def test_of_what_is_no_id_deletes_nothing(self):
        said = self.misused(image.DeleteImage, base.IMAGE, 'bogus')
        self.assertIn("'bogus' is no ID", said)

    def test_of_one_given_twice_is_one(self):
        self.make_image()
        rows = self.json(image.DeleteImage, base.IMAGE, base.IMAGE.upper())
        self.assertEqual(1, len(rows))

    def test_that_is_refused_names_the_image(self):
        self.make_image()

        def refuse(request):
            if request.method == 'DELETE':
                raise played_service.Refusal(409, 'busy', 'Not now.')

        self.service.hooks.append(refuse)
        _, said = self.failed(base.IMAGE)
        self.assertEqual(f'Image {base.IMAGE}: Not now.', said)

    def test_that_fails_is_an_error_and_the_others_are_shown(self):
        self.make_image()
        self.make_image(self.OTHER)

        def fail_the_first(request):
            failing = [
                job['id']
                for job in self.service.jobs.values()
                if job['kind'] == 'delete' and job['image_id'] == base.IMAGE
            ]
            self.service.failure = None
            if request.path.rpartition('/')[2] in failing:
                self.service.failure = ('read-only', 'Read-only.')

        self.service.hooks.append(fail_the_first)
        rows, said = self.failed(base.IMAGE, self.OTHER, '--wait')
        self.assertRegex(said, r'^delete job \S+ failed: Read-only\.$')
        self.assertEqual(
            ['failed', 'succeeded'], [row['Job State'] for row in rows]
        )

    def test_whose_end_is_not_seen_is_an_error(self):
        self.make_image()

        def refuse(request):
            if request.path.startswith('/v1/jobs/'):
                raise played_service.Refusal(500, 'x', 'Something is wrong.')

        self.service.hooks.append(refuse)
        ((row,), said) = self.failed(base.IMAGE, '--wait')
        self.assertRegex(said, rf'^delete job {row["Job"]}: Something')
        self.assertEqual('pending', row['Job State'])
