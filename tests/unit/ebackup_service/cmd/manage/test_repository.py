# SPDX-License-Identifier: Apache-2.0
from tests.unit.ebackup_service.cmd.manage import base

ID = '11111111-2222-4333-8444-555555555555'


class RepositoryTest(base.ManageTestCase):
    def test_create_starts_a_job(self):
        answer = self.ask('repository', 'create', 'a', 'file:///srv/a')
        self.assertEqual('creating', answer['repository']['state'])
        self.assertEqual('create', answer['job']['kind'])

    def test_create_checks_name_and_url(self):
        for name, url in (('../a', 'file:///x'), ('a', '/srv/a')):
            said = self.refused(2, 'repository', 'create', name, url)
            self.assertIn('repository.', said)

    def test_create_and_takeover_of_a_url_that_no_proxy_could_open(self):
        for url in ('s3://foo', 'file://user:sekret@host/path'):
            for words in (('create', 'a', url), ('takeover', 'a', url, ID)):
                said = self.refused(1, 'repository', *words)
                self.assertNotIn('sekret', said)
        self.assertEqual([], self.ask('repository', 'list')['repositories'])

    def test_create_of_a_name_that_is_taken(self):
        self.make_repository('a')
        said = self.refused(1, 'repository', 'create', 'a', 'file:///srv/a')
        self.assertIn('already', said)

    def test_takeover_starts_a_job(self):
        answer = self.ask('repository', 'takeover', 'a', 'file:///srv/a', ID)
        self.assertEqual(
            (ID, 'recovering'),
            (answer['repository']['id'], answer['repository']['state']),
        )
        self.assertEqual('takeover', answer['job']['kind'])

    def test_takeover_needs_to_be_told_which_one(self):
        words = ('repository', 'takeover', 'a', 'file:///srv/a')
        self.assertRaises(SystemExit, self.run_command, *words)
        self.refused(2, *words, 'default')

    def test_takeover_of_a_name_that_is_taken(self):
        self.make_repository('a')
        said = self.refused(
            1, 'repository', 'takeover', 'a', 'file:///srv/a', ID
        )
        self.assertIn('another name', said)

    def test_list_and_show(self):
        self.make_repository('a')
        listed = self.ask('repository', 'list')['repositories']
        shown = self.ask('repository', 'show', 'a')['repository']
        self.assertEqual([shown], listed)
        _code, out, _err = self.run_command('repository', 'list')
        self.assertIn('available', out)

    def test_delete(self):
        self.make_repository('a')
        made = self.ask('repository', 'show', 'a')['repository']['id']
        answer = self.ask('repository', 'delete', 'a')['repository']
        self.assertEqual((made, 'deleted'), (answer['id'], answer['state']))
        self.assertEqual([], self.ask('repository', 'list')['repositories'])

    def test_delete_of_the_default_one(self):
        self.make_repository('default')
        said = self.refused(1, 'repository', 'delete', 'default')
        self.assertIn('[DEFAULT]default_repository', said)

    def test_usage(self):
        self.make_repository('a')
        usage = self.ask('repository', 'usage', 'a')['usage']
        self.assertIn('free', usage)

    def test_collect_and_gc_are_the_same(self):
        self.make_repository('a')
        collect = self.ask('repository', 'collect', 'a')['job']
        gc = self.ask('repository', 'gc', 'a')['job']
        self.assertEqual('gc', collect['kind'])
        self.assertEqual(collect['id'], gc['id'])

    def test_check(self):
        self.make_repository('a')
        for options in ((), ('--fraction', '0.5')):
            self.ask('repository', 'check', 'a', *options)
        job = self.ask('repository', 'check', 'a', '--read-data')['job']
        self.assertEqual('check', job['kind'])

    def test_rebuild_catalog(self):
        self.make_repository('a', state='recovering')
        job = self.ask('repository', 'rebuild-catalog', 'a')['job']
        self.assertEqual('rebuild', job['kind'])

    def test_repository_that_is_not_ready(self):
        self.make_repository('a', state='creating')
        self.refused(1, 'repository', 'gc', 'a')
