# SPDX-License-Identifier: Apache-2.0
import uuid

from oslo_policy import opts

from tests.unit.ebackup_service.api import base

IMAGE = '11111111-2222-4333-8444-555555555555'


class ReserveTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.body = {'image': base.image_request()}
        self.woken = 0

    def test_new_image_comes_with_its_job(self):
        answer = self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertEqual('creating', answer['image']['state'])
        self.assertEqual(IMAGE, answer['image']['id'])
        self.assertEqual('backup', answer['job']['kind'])
        self.assertEqual('attachment', answer['job']['needs'])
        self.assertEqual(answer['job']['id'], answer['image']['job_id'])

    def test_server_is_woken(self):
        self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertEqual(1, self.woken)

    def test_again_is_the_same_job(self):
        first = self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        second = self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertEqual(first['job']['id'], second['job']['id'])

    def test_available_image_is_200_without_job(self):
        self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.end_jobs()
        self.move_image(IMAGE, 'available')
        answer = self.answer(200, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertIsNone(answer['job'])
        self.assertEqual('available', answer['image']['state'])

    def test_other_volume_is_a_conflict(self):
        self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        other = {'image': base.image_request()}
        error = self.error(409, 'PUT', f'/v1/images/{IMAGE}', other)
        self.assertEqual('fingerprint-mismatch', error['kind'])

    def test_failed_backup_is_a_conflict_that_says_why(self):
        self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.end_jobs('failed')
        failure = {'kind': 'x', 'message': 'Disk full.', 'retryable': False}
        self.move_image(IMAGE, 'error', error=failure)
        error = self.error(409, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertEqual('image-failed', error['kind'])
        self.assertIn('Disk full.', error['message'])

    def test_deleted_before_it_came_is_a_conflict(self):
        self.answer(204, 'DELETE', f'/v1/images/{IMAGE}')
        error = self.error(409, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertEqual('image-deleted', error['kind'])

    def test_unknown_repository_is_refused(self):
        self.body['image']['repository'] = 'elsewhere'
        error = self.error(400, 'PUT', f'/v1/images/{IMAGE}', self.body)
        self.assertIn('elsewhere', error['message'])

    def test_null_stands_for_left_out(self):
        self.body['image'].update(
            repository=None, snapshot_id=None, name=None, volume_metadata=None
        )
        self.answer(202, 'PUT', f'/v1/images/{IMAGE}', self.body)


class ShowTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.image = self.make_image(name='monday', volume_metadata='{"a":1}')

    def test_reader_of_the_project_sees_it(self):
        image = self.answer(
            200, 'GET', f'/v1/images/{self.image}', caller='reader'
        )['image']
        self.assertEqual('monday', image['name'])
        self.assertEqual('default', image['repository'])
        self.assertEqual(base.GIB, image['size'])
        self.assertEqual(131072, image['chunk_size'])
        self.assertEqual(1, image['generation'])
        self.assertRegex(
            image['created_at'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$'
        )

    def test_metadata_of_the_volume_is_not_shown(self):
        answer = self.request(
            'GET', f'/v1/images/{self.image}', caller='reader'
        )
        self.assertNotIn('volume_metadata', answer.text)

    def test_admin_and_service_see_it(self):
        for caller in ('admin', 'service'):
            self.answer(200, 'GET', f'/v1/images/{self.image}', caller=caller)

    def test_other_project_cannot_tell_it_from_an_unknown_one(self):
        unknown = str(uuid.uuid4())
        answers = [
            self.error(404, 'GET', f'/v1/images/{image}', caller='stranger')
            for image in (self.image, unknown)
        ]
        answers[1]['message'] = answers[1]['message'].replace(
            unknown, self.image
        )
        self.assertEqual(answers[0], answers[1])

    def test_unknown_parameter_is_refused(self):
        error = self.error(400, 'GET', f'/v1/images/{self.image}?x=1')
        self.assertIn("'x'", error['message'])


class ListTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.own = [self.make_image() for _ in range(3)]
        self.other = [self.make_image(project_id=base.OTHER)]

    def _ids(self, query='', caller='reader'):
        answer = self.answer(200, 'GET', f'/v1/images{query}', caller=caller)
        return {image['id'] for image in answer['images']}

    def test_reader_sees_the_own_project(self):
        self.assertEqual(set(self.own), self._ids())
        self.assertEqual(set(self.own), self._ids(f'?project_id={base.OWN}'))

    def test_reader_gets_no_other_project(self):
        for query in ('all_projects=true', f'project_id={base.OTHER}'):
            self.error(403, 'GET', f'/v1/images?{query}', caller='reader')

    def test_admin_sees_the_own_project_unless_all_are_asked_for(self):
        self.assertEqual(set(self.other), self._ids('', 'admin'))
        everything = self._ids('?all_projects=true', 'admin')
        self.assertEqual(set(self.own + self.other), everything)

    def test_all_projects_false_is_the_own_one(self):
        self.assertEqual(set(self.own), self._ids('?all_projects=false'))

    def test_service_sees_any_project(self):
        query = f'?project_id={base.OWN}'
        self.assertEqual(set(self.own), self._ids(query, 'service'))

    def test_filters(self):
        self.move_image(self.own[0], 'error')
        self.assertEqual({self.own[0]}, self._ids('?state=error'))
        volume = self.answer(
            200, 'GET', f'/v1/images/{self.own[1]}', caller='reader'
        )['image']['volume_id']
        self.assertEqual({self.own[1]}, self._ids(f'?volume_id={volume}'))

    def test_pages_have_every_image_once(self):
        found, query = [], '?limit=2'
        while query:
            answer = self.answer(
                200, 'GET', f'/v1/images{query}', caller='reader'
            )
            found += [image['id'] for image in answer['images']]
            marker = answer['next']
            query = marker and f'?limit=2&marker={marker}'
        self.assertEqual(sorted(self.own), sorted(found))

    def test_operator_limits_the_page(self):
        self.conf.set_override('max_limit', 1, group='api')
        answer = self.answer(
            200, 'GET', '/v1/images?limit=100', caller='reader'
        )
        self.assertEqual(1, len(answer['images']))
        self.assertEqual(answer['images'][0]['id'], answer['next'])

    def test_bad_parameters_are_named(self):
        for query, name in (
            ('limit=0', 'query.limit'),
            ('limit=many', 'query.limit'),
            ('limit=99999999999999999999', 'query.limit'),
            ('state=lost', 'query.state'),
            ('volume_id=x', 'query.volume_id'),
            ('all_projects=perhaps', 'query.all_projects'),
            ('limit=1&limit=2', 'query.limit'),
            ('colour=red', "'colour'"),
            ('%ff=1', 'UTF-8'),
        ):
            error = self.error(400, 'GET', f'/v1/images?{query}')
            self.assertIn(name, error['message'])


class UpdateTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.path = f'/v1/images/{self.make_image()}'

    def body(self, value=True):
        return {'image': {'restore_damaged': value}}

    def test_operator_allows_to_restore_a_part(self):
        shown = self.answer(
            200, 'PATCH', self.path, self.body(), caller='admin'
        )['image']
        self.assertIs(True, shown['restore_damaged'])
        shown = self.answer(200, 'GET', self.path)['image']
        self.assertIs(True, shown['restore_damaged'])
        self.assertEqual([], shown['damaged_extents'])

    def test_nobody_else_may(self):
        for caller in ('reader', 'service'):
            self.error(403, 'PATCH', self.path, self.body(), caller=caller)

    def test_what_is_no_change(self):
        for body in ({}, {'image': {}}, self.body('yes')):
            self.error(400, 'PATCH', self.path, body, caller='admin')
        path = f'/v1/images/{IMAGE}'
        self.error(404, 'PATCH', path, self.body(), caller='admin')


class DeleteTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.make_repository()
        self.woken = 0

    def test_available_image_gets_a_job(self):
        image = self.make_image()
        job = self.answer(202, 'DELETE', f'/v1/images/{image}')['job']
        self.assertEqual('delete', job['kind'])
        self.assertEqual(image, job['image_id'])
        again = self.answer(202, 'DELETE', f'/v1/images/{image}')['job']
        self.assertEqual(job['id'], again['id'])

    def test_server_is_woken(self):
        image = self.make_image()
        self.woken = 0
        self.answer(202, 'DELETE', f'/v1/images/{image}')
        self.assertEqual(1, self.woken)

    def test_unknown_image_is_204(self):
        self.answer(204, 'DELETE', f'/v1/images/{IMAGE}')
        self.answer(204, 'DELETE', f'/v1/images/{IMAGE}')

    def test_project_that_is_named_has_to_be_the_images(self):
        image = self.make_image()
        path = f'/v1/images/{image}'
        for caller in 'service', 'admin':
            query = f'?project_id={uuid.uuid4().hex}'
            self.error(404, 'DELETE', path + query, caller=caller)
        self.answer(202, 'DELETE', f'{path}?project_id={base.OWN}')

    def test_tombstone_is_of_every_project(self):
        path = f'/v1/images/{IMAGE}?project_id='
        self.answer(204, 'DELETE', f'{path}{base.OWN}')
        self.answer(204, 'DELETE', f'{path}{uuid.uuid4().hex}')

    def test_running_backup_is_cancelled(self):
        image = self.reserve()
        self.answer(202, 'DELETE', f'/v1/images/{image}', caller='admin')
        jobs = self.answer(200, 'GET', f'/v1/jobs?image_id={image}')['jobs']
        states = {job['kind']: job['state'] for job in jobs}
        self.assertEqual({'backup': 'cancelled', 'delete': 'pending'}, states)


class ConfinedDeleteTest(base.ApiTestCase):
    """An operator lets members delete what is their project's."""

    def configure(self):
        path = f'{self.directory}/policy.yaml'
        with open(path, 'w') as rules:
            rules.write(
                '"ebackup:image:delete": '
                '"role:member and project_id:%(project_id)s"\n'
            )
        opts.set_defaults(self.conf, policy_file=path)

    def setUp(self):
        super().setUp()
        self.make_repository()

    def test_own_image_is_deleted(self):
        image = self.make_image()
        self.answer(202, 'DELETE', f'/v1/images/{image}', caller='member')

    def test_other_image_looks_unknown_and_stays(self):
        image = self.make_image(project_id=base.OTHER)
        for image_id in (image, IMAGE):
            self.error(
                404, 'DELETE', f'/v1/images/{image_id}', caller='member'
            )
        found = self.answer(200, 'GET', f'/v1/images/{image}')['image']
        self.assertEqual('available', found['state'])
        self.answer(
            202,
            'PUT',
            f'/v1/images/{IMAGE}',
            {'image': base.image_request()},
        )
