# SPDX-License-Identifier: Apache-2.0
from ebackup_service.server import images
from tests.unit.ebackup_service.api import base as api_base
from tests.unit.ebackup_service.cmd.manage import base


class ImageTest(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()

    def _ids(self, *words):
        found = self.ask('image', 'list', *words)['images']
        return {image['id'] for image in found}

    def test_list_has_all_projects(self):
        made = {self.make_image(), self.make_image(project_id=api_base.OTHER)}
        self.assertEqual(made, self._ids())

    def test_list_has_every_page(self):
        made = {self.make_image() for _ in range(3)}
        whole = images.list

        def list_two(*args, **kw):
            return whole(*args, **kw, limit=2)

        self.patch(images, 'list', list_two)
        self.assertEqual(made, self._ids())

    def test_list_filters(self):
        image = self.make_image(state='error')
        volume = images.show(self.catalog, image).volume_id
        other = self.make_image(project_id=api_base.OTHER)
        self.assertEqual({image}, self._ids('--state', 'error'))
        self.assertEqual({image}, self._ids('--volume-id', volume))
        project = ('--project-id', api_base.OTHER)
        self.assertEqual({other}, self._ids(*project))

    def test_table_is_for_people(self):
        image = self.make_image()
        code, out, err = self.run_command('image', 'list')
        self.assertEqual((0, ''), (code, err))
        for text in (image, 'available', '1.0 GiB', '1.5 KiB', '| id '):
            self.assertIn(text, out)

    def test_show(self):
        image = self.make_image()
        shown = self.ask('image', 'show', image)['image']
        self.assertEqual(image, shown['id'])
        _code, out, _err = self.run_command('image', 'show', image)
        self.assertIn('1.0 GiB', out)

    def test_set(self):
        image = self.make_image()
        for option, value in (
            ('--restore-damaged', True),
            ('--no-restore-damaged', False),
        ):
            shown = self.ask('image', 'set', image, option)['image']
            self.assertIs(value, shown['restore_damaged'])
            self.assertEqual([], shown['damaged_extents'])

    def test_delete_starts_a_job(self):
        image = self.make_image()
        job = self.ask('image', 'delete', image)['job']
        self.assertEqual('delete', job['kind'])
        self.assertEqual('pending', job['state'])

    def test_delete_of_a_mistyped_id_leaves_no_tombstone(self):
        mistyped = '11111111-2222-4333-8444-555555555555'
        self.refused(3, 'image', 'delete', mistyped)
        images.reserve(
            self.catalog, self.conf, mistyped, api_base.image_request()
        )
