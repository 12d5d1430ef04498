# SPDX-License-Identifier: Apache-2.0
from keystoneauth1 import adapter
from keystoneauth1 import noauth
from keystoneauth1 import session

from ebackup_driver import client
from ebackup_driver import errors
from tests.unit.ebackup_driver import base

PROJECT = 'p' * 32


def image_request(**values):
    return {
        'project_id': PROJECT,
        'volume': {'id': 'v1', 'size': 1 << 30},
        'snapshot_id': None,
        'repository': None,
        'volume_metadata': '{}',
        'record': {},
        **values,
    }


class ClientTestCase(base.ServiceTestCase):
    def setUp(self):
        super().setUp()
        http = adapter.Adapter(
            session.Session(auth=noauth.NoAuth()),
            endpoint_override=self.server.url,
        )
        self.client = client.Client(http)

    def last(self):
        request = self.service.requests[-1]
        return f'{request.method} {request.path}'


class TestImages(ClientTestCase):
    def reserve(self, image_id='i1', **values):
        return self.client.reserve_image(image_id, image_request(**values))

    def test_a_new_one_comes_with_its_job(self):
        reservation = self.reserve()
        self.assertEqual('creating', reservation.image.state)
        self.assertEqual('attachment', reservation.job.needs)
        self.assertEqual('i1', reservation.job.image_id)

    def test_the_same_again_has_the_same_job(self):
        self.assertEqual(self.reserve().job.id, self.reserve().job.id)

    def test_an_available_one_has_no_job(self):
        self.reserve()
        self.service.images['i1']['state'] = 'available'
        reservation = self.reserve()
        self.assertTrue(reservation.image.available)
        self.assertIsNone(reservation.job)

    def test_another_of_the_same_id_is_a_conflict(self):
        self.reserve()
        self.assertRaises(errors.Conflict, self.reserve, project_id='other')

    def test_all_pages_are_listed(self):
        for n in range(5):
            self.reserve(f'i{n}')
        found = list(self.client.images(project_id=PROJECT))
        self.assertEqual(['i0', 'i1', 'i2', 'i3', 'i4'], [i.id for i in found])
        self.assertEqual(3, len(self.service.said('GET', '/v1/images')))
        self.assertIn(f'project_id={PROJECT}', self.service.requests[-1].query)

    def test_those_of_all_projects_have_to_be_asked_for(self):
        list(self.client.images(all_projects=True))
        self.assertIn('all_projects=true', self.service.requests[-1].query)
        list(self.client.images())
        self.assertNotIn('all_projects', self.service.requests[-1].query)

    def test_one_is_shown(self):
        self.reserve()
        self.assertEqual(1 << 30, self.client.image('i1').size)
        self.assertRaises(errors.NotFound, self.client.image, 'i2')

    def test_deletion_is_a_job(self):
        self.reserve()
        self.assertEqual('delete', self.client.delete_image('i1').kind)

    def test_deletion_may_be_of_one_project_only(self):
        self.reserve()
        self.assertRaises(
            errors.NotFound, self.client.delete_image, 'i1', 'other'
        )
        self.assertEqual(
            'delete', self.client.delete_image('i1', PROJECT).kind
        )

    def test_deletion_of_nothing_is_none(self):
        self.assertIsNone(self.client.delete_image('i1'))

    def test_a_record_goes_out_and_in(self):
        self.reserve()
        exported = self.client.image_record('i1')
        self.assertEqual('{}', exported.volume_metadata)
        self.client.import_image_record('i1', PROJECT, exported.record)
        self.assertRaises(
            errors.NotFound,
            self.client.import_image_record,
            'i1',
            'other',
            exported.record,
        )


class TestJobs(ClientTestCase):
    def setUp(self):
        super().setUp()
        self.job = self.client.reserve_image('i1', image_request()).job

    def test_are_listed(self):
        (found,) = self.client.jobs(kind='backup', state='pending')
        self.assertEqual(self.job.id, found.id)
        query = self.service.requests[-1].query
        self.assertIn('kind=backup', query)
        self.assertIn('state=pending', query)

    def test_are_attached(self):
        attachment = {'kind': 'attached', 'host': 'h', 'path': '/dev/x'}
        job = self.client.attach(self.job.id, attachment)
        self.assertIsNone(job.needs)
        self.assertEqual(attachment, self.service.attachments[job.id])

    def test_end_after_enough_beats(self):
        self.assertFalse(self.client.beat(self.job.id).ended)
        self.assertTrue(self.client.beat(self.job.id).ended)
        self.assertEqual('succeeded', self.client.job(self.job.id).state)

    def test_are_cancelled(self):
        self.client.cancel(self.job.id)
        job = self.client.job(self.job.id)
        self.assertEqual('cancelled', job.state)
        self.assertRaises(errors.JobCancelled, job.raise_for_failure)

    def test_restore_is_one(self):
        request = {'image_id': 'i1', 'volume': {'id': 'v2'}}
        job = self.client.reserve_restore('j1', request)
        self.assertEqual(('j1', 'restore'), (job.id, job.kind))
        self.assertEqual('PUT /v1/restores/j1', self.last())


class TestRepositories(ClientTestCase):
    def setUp(self):
        super().setUp()
        self.repository, self.job = self.client.create_repository(
            {'name': 'vault', 'url': 'file:///srv/vault'}
        )

    def test_creation_is_a_job(self):
        self.assertEqual('vault', self.repository['name'])
        self.assertEqual('create', self.job.kind)

    def test_are_listed_and_shown(self):
        self.assertEqual([self.repository], self.client.repositories())
        self.assertEqual(self.repository, self.client.repository('vault'))

    def test_usage(self):
        self.assertEqual(600, self.client.repository_usage('vault')['used'])

    def test_collection_check_and_rebuild_are_jobs(self):
        self.assertEqual('rebuild', self.client.rebuild_catalog('vault').kind)
        self.assertEqual('gc', self.client.collect('vault').kind)
        self.assertEqual('check', self.client.check('vault', True).kind)
        self.assertEqual({'read_data': True}, self.service.requests[-1].body)

    def test_names_cannot_leave_their_place(self):
        self.assertRaises(errors.NotFound, self.client.collect, '../images')

    def test_proxies_are_listed(self):
        self.service.proxies.append({'host': 'p1'})
        self.assertEqual([{'host': 'p1'}], self.client.proxies())


class TestStorages(ClientTestCase):
    def setUp(self):
        super().setUp()
        self.created = self.client.create_storage(
            {'name': 'ceph1', 'kind': 'rbd', 'credentials': {'key': 'k'}}
        )

    def test_are_created_listed_and_shown(self):
        self.assertTrue(self.created['has_credentials'])
        self.assertEqual([self.created], self.client.storages())
        self.assertEqual(self.created, self.client.storage('ceph1'))

    def test_changes_are_sent_and_no_more(self):
        changed = self.client.update_storage('ceph1', {'trust': 'shadow'})
        self.assertEqual('shadow', changed['trust'])
        self.assertEqual('PATCH /v1/storages/ceph1', self.last())
        self.assertEqual(
            {'storage': {'trust': 'shadow'}}, self.service.requests[-1].body
        )

    def test_deletion_answers_nothing(self):
        self.assertIsNone(self.client.delete_storage('ceph1'))
        self.assertRaises(errors.NotFound, self.client.storage, 'ceph1')
        self.assertEqual('', self.service.requests[-2].query)

    def test_forced_deletion_tells_what_is_left(self):
        self.service.snapshots = [{'name': 's1', 'volume_id': 'v'}]
        deleted = self.client.delete_storage('ceph1', force=True)
        self.assertEqual(self.service.snapshots, deleted['snapshots'])
        self.assertEqual('force=true', self.service.requests[-1].query)


class TestStrangeAnswers(ClientTestCase):
    def answer(self, body):
        self.service._carry_out = lambda request: (200, body)

    def test_are_errors_that_say_so(self):
        for body in (None, [], {}, {'image': None}, {'image': {}}, 'x'):
            self.answer(body)
            error = self.assertRaises(
                errors.ServiceFailed, self.client.image, 'i1'
            )
            self.assertRegex(str(error), '^Unexpected answer')

    def test_lists_have_to_be_lists(self):
        self.answer({'proxies': {}})
        self.assertRaises(errors.ServiceFailed, self.client.proxies)

    def test_what_a_newer_service_says_is_ignored(self):
        self.answer({'image': {'id': 'i', 'state': 'thawing', 'new': 1}})
        self.assertEqual('thawing', self.client.image('i').state)
