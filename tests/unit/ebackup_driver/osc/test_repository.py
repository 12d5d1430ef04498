# SPDX-License-Identifier: Apache-2.0
from ebackup_driver import errors
from ebackup_driver.osc import repository
from tests.unit.ebackup_driver.osc import base

URL = 'file:///srv/vault'


class TestCreate(base.CommandTestCase):
    def test_asks_for_it(self):
        shown = self.json(repository.CreateRepository, 'vault', URL)
        self.assertEqual('creating', shown['state'])
        self.assertEqual(URL, self.service.repositories['vault']['url'])

    def test_waits_until_it_can_be_used(self):
        def finish(request):
            if request.path == '/v1/repositories/vault':
                self.service.repositories['vault']['state'] = 'available'

        self.service.hooks.append(finish)
        shown = self.json(repository.CreateRepository, 'vault', URL, '--wait')
        self.assertEqual('available', shown['state'])
        self.assertIn('create succeeded', self.stderr.getvalue())

    def test_that_fails_is_an_error(self):
        self.service.failure = ('missing', 'No such directory: /srv.')
        self.assertRegex(
            self.failure(repository.CreateRepository, 'v', URL, '--wait'),
            'failed: No such directory: /srv.$',
        )


class ExistingTestCase(base.CommandTestCase):
    def setUp(self):
        super().setUp()
        self.client.create_repository({'name': 'vault', 'url': URL})


class TestExisting(ExistingTestCase):
    def test_are_listed(self):
        (row,) = self.json(repository.ListRepositories)
        self.assertEqual('vault', row['Name'])
        self.assertEqual(URL, row['URL'])

    def test_are_shown(self):
        shown = self.json(repository.ShowRepository, 'vault')
        self.assertEqual('vault', shown['name'])

    def test_delete_says_so(self):
        shown = self.json(repository.DeleteRepository, 'vault')
        self.assertEqual(('deleted', URL), (shown['state'], shown['url']))
        self.assertEqual({}, self.service.repositories)

    def test_usage_is_in_bytes_for_programs(self):
        shown = self.json(repository.ShowUsage, 'vault')
        self.assertEqual({'total': 1000, 'free': 400, 'used': 600}, shown)
        self.assertIn('600 B', self.text(repository.ShowUsage, 'vault'))

    def test_an_unknown_one_is_an_error(self):
        for command in (
            repository.ShowRepository,
            repository.DeleteRepository,
            repository.ShowUsage,
            repository.CollectRepository,
            repository.CheckRepository,
            repository.RebuildCatalog,
        ):
            self.assertRaises(
                errors.NotFound, self.run_command, command, 'other'
            )


class TestCollect(ExistingTestCase):
    def test_shows_the_job(self):
        shown = self.json(repository.CollectRepository, 'vault')
        self.assertEqual(('gc', 'pending'), (shown['kind'], shown['state']))

    def test_waits_if_told_to(self):
        shown = self.json(repository.CollectRepository, 'vault', '--wait')
        self.assertEqual('succeeded', shown['state'])


class ResultTestCase(ExistingTestCase):
    def find(self, **result):
        succeed = self.service._succeed

        def with_result(job):
            succeed(job)
            job['result'] = {'images': 1, **result}

        self.service._succeed = with_result


class TestRebuild(ResultTestCase):
    def rebuild(self):
        return self.run_command(repository.RebuildCatalog, 'vault', '--wait')

    def test_shows_the_job(self):
        shown = self.json(repository.RebuildCatalog, 'vault')
        self.assertEqual('rebuild', shown['kind'])

    def test_without_problems_succeeds(self):
        self.find(problems=[], differences=[])
        self.assertEqual(0, self.rebuild()[0])

    def test_with_damage_shows_it_and_fails(self):
        self.find(problems=['image i1 is damaged'], differences=[])
        code, text = self.rebuild()
        self.assertEqual(1, code)
        self.assertIn('is damaged', text)

    def test_with_differences_shows_them_and_fails(self):
        self.find(problems=[], differences=['image i1 is gone'])
        code, text = self.rebuild()
        self.assertEqual(1, code)
        self.assertIn('is gone', text)


class TestCheck(ResultTestCase):
    def test_of_the_pages_only_by_default(self):
        self.json(repository.CheckRepository, 'vault')
        self.assertEqual({'read_data': False}, self.service.requests[-1].body)

    def test_of_all_data_if_told_to(self):
        self.json(repository.CheckRepository, 'vault', '--read-data')
        self.assertEqual({'read_data': True}, self.service.requests[-1].body)

    def test_of_a_part_of_the_data(self):
        self.json(repository.CheckRepository, 'vault', '--fraction', '0.25')
        self.assertEqual(
            {'read_data': False, 'fraction': 0.25},
            self.service.requests[-1].body,
        )

    def test_without_problems_succeeds(self):
        self.find(problems=[])
        shown = self.json(repository.CheckRepository, 'vault', '--wait')
        self.assertEqual([], shown['result']['problems'])

    def test_with_problems_shows_them_and_fails(self):
        self.find(problems=['chunk 1 of image i1 is damaged'])
        code, text = self.run_command(
            repository.CheckRepository, 'vault', '--wait'
        )
        self.assertEqual(1, code)
        self.assertIn('is damaged', text)
