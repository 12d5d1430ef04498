# SPDX-License-Identifier: Apache-2.0
from ebackup_service.server.catalog import clock
from ebackup_service.server.catalog import repository as repository_rows
from tests.unit.ebackup_service.api import base


class RepositoryTestCase(base.ApiTestCase):
    def call(self, status, method, path='', body=None):
        return self.answer(
            status, method, f'/v1/repositories{path}', body, 'admin'
        )


class CreateTest(RepositoryTestCase):
    def _create(self, status, **values):
        body = {'repository': {'name': 'a', 'url': 'file:///srv/a'} | values}
        return self.call(status, 'POST', '', body)

    def test_repository_comes_with_its_job(self):
        answer = self._create(202)
        self.assertEqual('creating', answer['repository']['state'])
        self.assertEqual('create', answer['job']['kind'])
        self.assertEqual(1, self.woken)

    def test_name_that_is_taken(self):
        self._create(202)
        error = self._create(409)['error']
        self.assertEqual('repository-exists', error['kind'])

    def test_bad_names_and_urls(self):
        for values, field in (
            ({'name': ''}, 'name'),
            ({'name': '../a'}, 'name'),
            ({'name': 'a\n'}, 'name'),
            ({'name': 'a' * 256}, 'name'),
            ({'url': '/srv/a'}, 'url'),
            ({'url': 7}, 'url'),
            ({'size': 7}, 'size'),
        ):
            error = self._create(400, **values)['error']
            self.assertIn(field, error['message'])

    def test_urls_that_no_proxy_could_open(self):
        for url, said in (
            ('s3://bucket', "No storage for 's3'"),
            ('file://host/path', 'a host'),
            ('file://user:sekret@host/path', 'a password'),
        ):
            error = self._create(400, url=url)['error']
            self.assertEqual('repository-url', error['kind'])
            self.assertIn(said, error['message'])
            self.assertNotIn('sekret', error['message'])
        self.assertEqual([], self.call(200, 'GET')['repositories'])


class ShowTest(RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.repository = self.make_repository()

    def test_list_and_show_say_the_same(self):
        listed = self.call(200, 'GET')['repositories']
        shown = self.call(200, 'GET', '/default')['repository']
        self.assertEqual([shown], listed)
        self.assertEqual('available', shown['state'])

    def test_unknown_name(self):
        error = self.call(404, 'GET', '/other')['error']
        self.assertIn('other', error['message'])

    def test_usage_before_the_first_report(self):
        usage = self.call(200, 'GET', '/default/usage')['usage']
        self.assertIsNone(usage['used'])
        self.assertIsNone(usage['measured_at'])

    def test_usage(self):
        with self.catalog.writer() as session:
            repository_rows.update(
                session,
                self.repository.id,
                usage={'total': 9, 'free': 5, 'used': 4},
                used_at=clock.now(),
            )
        usage = self.call(200, 'GET', '/default/usage')['usage']
        self.assertEqual(
            [9, 5, 4], [usage[key] for key in ('total', 'free', 'used')]
        )
        self.assertRegex(usage['measured_at'], 'Z$')


class DeleteTest(RepositoryTestCase):
    def test_it_is_gone_and_the_answer_says_what_stays(self):
        made = self.make_repository('a')
        deleted = self.call(200, 'DELETE', '/a')['repository']
        self.assertEqual(
            (made.id, made.url, 'deleted'),
            (deleted['id'], deleted['url'], deleted['state']),
        )
        self.assertIn('as it was', deleted['message'])
        self.call(404, 'GET', '/a')
        self.call(404, 'DELETE', '/a')

    def test_default_one_stays(self):
        self.make_repository()
        error = self.call(409, 'DELETE', '/default')['error']
        self.assertEqual('repository-configured', error['kind'])

    def test_it_takes_no_query(self):
        self.make_repository('a')
        self.call(400, 'DELETE', '/a?force=1')


class CollectTest(RepositoryTestCase):
    def test_job(self):
        self.make_repository()
        job = self.call(202, 'POST', '/default/collect')['job']
        self.assertEqual('gc', job['kind'])
        self.assertEqual('default', job['repository'])
        self.assertEqual(1, self.woken)

    def test_repository_that_is_not_ready(self):
        self.make_repository(state='creating')
        error = self.call(409, 'POST', '/default/collect')['error']
        self.assertEqual('repository-not-ready', error['kind'])

    def test_body_is_refused(self):
        self.make_repository()
        self.call(400, 'POST', '/default/collect', {'x': 1})


class CheckTest(RepositoryTestCase):
    def test_body_is_optional(self):
        self.make_repository()
        for body in (None, {}, {'read_data': True}, {'fraction': 0.1}):
            job = self.call(202, 'POST', '/default/check', body)['job']
            self.assertEqual('check', job['kind'])

    def test_impossible_fraction_is_named(self):
        self.make_repository()
        for fraction in (0, -1, 1.1, 'all', True):
            error = self.call(
                400, 'POST', '/default/check', {'fraction': fraction}
            )
            self.assertIn('body.fraction', error['error']['message'])

    def test_wrong_type_is_named(self):
        self.make_repository()
        error = self.call(400, 'POST', '/default/check', {'read_data': 1})
        self.assertIn('body.read_data', error['error']['message'])


class RebuildTest(RepositoryTestCase):
    def test_job(self):
        self.make_repository(state='recovering')
        job = self.call(202, 'POST', '/default/rebuild')['job']
        self.assertEqual('rebuild', job['kind'])
        self.assertEqual(1, self.woken)

    def test_repository_that_is_not_ready(self):
        self.make_repository(state='creating')
        error = self.call(409, 'POST', '/default/rebuild')['error']
        self.assertEqual('repository-not-ready', error['kind'])
