# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.rpc import messages
from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import repositories
from tests import base
from tests.unit.ebackup_service import catalog_fixture


class RepositoriesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog

    def refused(self, kind, code, function, *args):
        error = self.assertRaises(errors.ServerError, function, *args)
        self.assertEqual((kind, code), (error.kind, error.code))
        return error

    def create(self, name='default', url='file:///r'):
        return repositories.create(self.catalog, name, url)

    def names(self):
        return [found.name for found in repositories.list(self.catalog)]


class TestCreate(RepositoriesTestCase):
    def test_job_makes_it(self):
        repository, job = self.create()
        self.assertEqual('creating', repository.state)
        self.assertEqual(('create', 'pending'), (job.kind, job.state))
        self.assertEqual(repository.id, job.repository_id)
        self.fixture.finish(self.fixture.run(job.id))
        found = repositories.show(self.catalog, 'default')
        self.assertEqual('available', found.state)

    def test_name_is_taken_once(self):
        self.create()
        self.refused('repository-exists', 409, self.create)

    def test_url_that_no_proxy_could_open_is_not_recorded(self):
        for url in ('s3://bucket', 'file://host/path', 'file://u:p@host/a'):
            self.refused('repository-url', 400, self.create, 'default', url)
        self.assertEqual([], self.names())

    def test_failed_one_is_tried_again_under_the_same_id(self):
        first, job = self.create(url='file:///missing/r')
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        again, job = self.create(url='file:///r')
        self.assertEqual(first.id, again.id)
        self.assertEqual(
            ('creating', 'file:///r', None),
            (again.state, again.url, again.error),
        )
        self.fixture.finish(self.fixture.run(job.id))
        found = repositories.show(self.catalog, 'default')
        self.assertEqual('available', found.state)


class TestEnsureDefault(RepositoriesTestCase):
    def ensure(self, **values):
        for name, value in values.items():
            self.fixture.conf.set_override(name, value, 'repository')
        repositories.ensure_default(self.catalog, self.fixture.conf)

    def test_configured_one_is_created_once(self):
        self.ensure(url='file:///r')
        self.ensure()
        self.assertEqual(['default'], self.names())

    def test_url_that_was_changed_is_told_to_be_ignored(self):
        log = self.useFixture(fixtures.FakeLogger())
        self.ensure(url='file:///r')
        self.ensure()
        self.assertNotIn('stays', log.output)
        self.ensure(url='s3://key:new-secret@h/s')
        self.assertIn('Repository default stays at file:///r: ', log.output)
        self.assertIn('[repository]url, which is s3://h/s now', log.output)
        self.assertNotIn('secret', log.output)
        self.assertEqual(['default'], self.names())

    def test_nothing_is_created_without_a_url(self):
        self.ensure()
        self.assertEqual([], self.names())

    def test_failed_one_is_tried_again(self):
        _, job = self.create()
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        self.ensure(url='file:///r')
        found = repositories.show(self.catalog, 'default')
        self.assertEqual('creating', found.state)

    def test_url_that_can_not_be_one_names_the_option(self):
        error = self.refused(
            *('repository-url', 400),
            lambda: self.ensure(url='file://user:sekret@host/r'),
        )
        self.assertIn('[repository]url: ', str(error))
        self.assertNotIn('sekret', str(error))


class TestLook(RepositoriesTestCase):
    def test_list_is_by_name(self):
        for name in ('b', 'a'):
            self.create(name)
        self.assertEqual(['a', 'b'], self.names())

    def test_unknown_one(self):
        for function in (
            repositories.show,
            repositories.usage,
            repositories.collect,
            repositories.check,
            repositories.rebuild,
        ):
            self.refused(
                'repository-unknown', 404, function, self.catalog, 'none'
            )

    def test_usage_is_what_proxies_reported(self):
        _, job = self.create()
        before = repositories.usage(self.catalog, 'default')
        self.assertIsNone(before['measured_at'])
        self.assertIsNone(before['free'])
        self.fixture.finish(
            self.fixture.run(job.id),
            result={'usage': {'total': 9, 'free': 5, 'used': 1}},
        )
        after = repositories.usage(self.catalog, 'default')
        self.assertIsNotNone(after['measured_at'])
        self.assertEqual(
            (9, 5, 1, None),
            (after['total'], after['free'], after['used'], after['packs']),
        )

    def test_cheap_figures_leave_the_dear_ones_as_they_were(self):
        _, job = self.create()
        self.fixture.finish(
            self.fixture.run(job.id), result={'usage': {'used': 1}}
        )
        gc = repositories.collect(self.catalog, 'default')
        self.fixture.finish(
            self.fixture.run(gc.id), result={'usage': {'free': 7}}
        )
        usage = repositories.usage(self.catalog, 'default')
        self.assertEqual((1, 7), (usage['used'], usage['free']))


class TestDelete(RepositoriesTestCase):
    def delete(self, name='new'):
        return repositories.delete(self.catalog, self.fixture.conf, name)

    def test_one_that_could_not_be_made(self):
        made, job = self.create('new')
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        self.assertEqual(made.id, self.delete().id)
        self.assertEqual([], self.names())
        # There may be another one of that name now.
        self.assertNotEqual(made.id, self.create('new')[0].id)

    def test_one_whose_images_are_deleted(self):
        self.fixture.make_repository('new')
        image = self.fixture.make_image(repository='new')
        job = images.delete(self.catalog, image.id)
        self.fixture.finish(self.fixture.run(job.id))
        self.delete()
        # A backup that comes late is still refused.
        self.fixture.make_repository()
        error = self.assertRaises(
            errors.Conflict, self.fixture.reserve, image.id
        )
        self.assertEqual('image-deleted', error.kind)

    def test_unknown_one(self):
        self.refused('repository-unknown', 404, self.delete)

    def test_default_one_stays(self):
        self.fixture.make_repository()
        for url in None, 'file:///r':
            self.fixture.conf.set_override('url', url, 'repository')
            error = self.refused(
                'repository-configured', 409, self.delete, 'default'
            )
            self.assertIn('[DEFAULT]default_repository', str(error))

    def test_one_with_images_stays(self):
        self.fixture.make_repository('new')
        image, job = self.fixture.reserve(repository='new')
        for _ in range(2):
            error = self.refused('repository-in-use', 409, self.delete)
            self.assertIn(f'image {image.id}', str(error))
            # It has failed, and is shown.
            jobs.cancel(self.catalog, job.id)

    def test_one_with_unfinished_jobs_stays(self):
        _, job = self.create('new')
        error = self.refused('repository-in-use', 409, self.delete)
        self.assertIn(job.id, str(error))
        jobs.cancel(self.catalog, job.id)
        self.delete()


class TestUpkeep(RepositoriesTestCase):
    def setUp(self):
        super().setUp()
        self.fixture.make_repository()

    def test_collection_that_waits_serves_everybody(self):
        job = repositories.collect(self.catalog, 'default')
        again = repositories.collect(self.catalog, 'default')
        self.assertEqual(('gc', job.id), (job.kind, again.id))

    def test_collection_that_runs_may_have_missed_something(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.run(job.id)
        again = repositories.collect(self.catalog, 'default')
        self.assertNotEqual(job.id, again.id)

    def test_check_reads_pages_or_everything(self):
        for fraction, sample in (
            (0.0, None),
            (1.0, messages.SampleSpec(0, 2**32)),
        ):
            job = repositories.check(self.catalog, 'default', fraction)
            spec = self.fixture.run(job.id)
            self.assertEqual(sample, spec.sample)
            self.fixture.finish(spec)

    def test_repository_that_is_not_ready_has_no_upkeep(self):
        self.create('new')
        for function in (
            repositories.collect,
            repositories.check,
            repositories.rebuild,
        ):
            self.refused(
                'repository-not-ready', 409, function, self.catalog, 'new'
            )

    def test_rebuild_that_waits_serves_everybody(self):
        job = repositories.rebuild(self.catalog, 'default')
        again = repositories.rebuild(self.catalog, 'default')
        self.assertEqual(('rebuild', job.id), (job.kind, again.id))
        self.fixture.run(job.id)
        third = repositories.rebuild(self.catalog, 'default')
        self.assertNotEqual(job.id, third.id)

    def test_failure_of_the_creation_is_named(self):
        _, job = self.create('new')
        error = catalog_fixture.messages.JobError('kind', 'No room.')
        self.fixture.finish(self.fixture.run(job.id), 'failed', error=error)
        found = self.refused(
            'repository-not-ready',
            409,
            repositories.collect,
            self.catalog,
            'new',
        )
        self.assertIn('No room.', str(found))
