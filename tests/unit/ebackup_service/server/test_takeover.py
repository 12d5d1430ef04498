# SPDX-License-Identifier: Apache-2.0

from ebackup_service.rpc import messages
from ebackup_service.server import errors
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import outcomes
from ebackup_service.server import repositories
from ebackup_service.server import takeover
from tests import base
from tests.unit.ebackup_service import catalog_fixture

URL = 'file:///r'
RESULT = {'owner_generation': 7, 'previous_owner': None}


class TakeoverTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.repository_id = catalog_fixture.new_id()

    def begin(self, name='default', url=URL, repository_id=None):
        return takeover.begin(
            self.catalog, name, url, repository_id or self.repository_id
        )

    def refused(self, kind, function, *args, **kwargs):
        error = self.assertRaises(errors.Conflict, function, *args, **kwargs)
        self.assertEqual(kind, error.kind)
        return str(error)

    def found(self, name='default'):
        return repositories.show(self.catalog, name)


class TestUnknown(TakeoverTestCase):
    """The catalog is new, and knows nothing of the repository."""

    def test_it_is_recorded_by_its_own_id(self):
        repository, job = self.begin()
        self.assertEqual(
            (self.repository_id, 'default', URL, 'recovering'),
            (
                repository.id,
                repository.name,
                repository.url,
                repository.state,
            ),
        )
        self.assertEqual(('takeover', 'pending'), (job.kind, job.state))

    def test_url_that_no_proxy_could_open_is_not_recorded(self):
        self.assertRaises(errors.Refused, self.begin, url='s3://bucket')
        self.assertEqual([], repositories.list(self.catalog))

    def test_it_is_ours_by_the_generation_that_the_proxy_chose(self):
        _, job = self.begin()
        spec = self.fixture.run(job.id)
        self.assertEqual(1, spec.repository.owner.generation)
        self.fixture.finish(spec, result=RESULT)
        self.assertEqual(7, self.found().owner_generation)
        delete = images.delete(self.catalog, self.make_image().id)
        spec = self.fixture.run(delete.id)
        self.assertEqual(7, spec.repository.owner.generation)

    def make_image(self):
        with self.catalog.writer() as session:
            takeover.repository_rows.update(
                session, self.repository_id, state='available'
            )
        return self.fixture.make_image()

    def test_it_takes_no_backups_until_the_catalog_is_rebuilt(self):
        _, job = self.begin()
        self.refused('repository-not-ready', self.fixture.reserve)
        self.fixture.finish(self.fixture.run(job.id), result=RESULT)
        said = self.refused('repository-not-ready', self.fixture.reserve)
        self.assertIn('rebuild', said)
        self.refused(
            'repository-not-ready',
            repositories.collect,
            self.catalog,
            'default',
        )

    def test_asked_again_it_is_the_same_job_while_that_waits(self):
        _, first = self.begin()
        _, second = self.begin(url='file:///other')
        self.assertEqual(first.id, second.id)
        self.assertEqual('file:///other', self.found().url)
        self.fixture.run(first.id)
        self.assertNotEqual(first.id, self.begin()[1].id)

    def test_failure_is_told_and_it_may_be_tried_again(self):
        _, job = self.begin()
        error = messages.JobError('repository-missing', 'Nothing there.')
        self.fixture.finish(self.fixture.run(job.id), 'failed', error=error)
        found = self.found()
        self.assertEqual('recovering', found.state)
        self.assertEqual('repository-missing', found.error['kind'])
        said = self.refused('repository-not-ready', self.fixture.reserve)
        self.assertIn('Nothing there.', said)
        self.begin()
        self.assertIsNone(self.found().error)


class TestReplacing(TakeoverTestCase):
    """There is a repository of that name which is not the one."""

    def fail_to_create(self):
        repository, job = repositories.create(self.catalog, 'default', URL)
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        return repository, job

    def test_one_that_could_not_be_made_is_replaced(self):
        _, job = self.fail_to_create()
        self.begin()
        self.assertEqual(
            [self.repository_id],
            [r.id for r in repositories.list(self.catalog)],
        )
        self.assertEqual(
            self.repository_id, jobs.show(self.catalog, job.id).repository_id
        )

    def test_one_with_a_mistyped_id_is_replaced(self):
        _, job = self.begin(repository_id=catalog_fixture.new_id())
        self.refused('repository-busy', self.begin)
        self.fixture.finish(self.fixture.run(job.id), 'failed')
        self.begin()
        self.assertEqual(self.repository_id, self.found().id)

    def test_one_that_is_in_use_is_not(self):
        self.fixture.make_repository()
        self.refused('repository-exists', self.begin)

    def test_one_that_holds_images_is_not(self):
        repository_id = self.fixture.make_repository()
        self.fixture.make_image()
        self.begin(repository_id=repository_id)
        self.refused('repository-exists', self.begin)

    def test_one_that_is_just_made_is_not(self):
        repositories.create(self.catalog, 'default', URL)
        self.refused('repository-exists', self.begin)

    def test_nor_is_it_taken_over_itself(self):
        repository, _ = repositories.create(self.catalog, 'default', URL)
        self.refused(
            'repository-busy', self.begin, repository_id=repository.id
        )

    def test_its_name_may_be_another(self):
        self.fixture.make_repository()
        self.begin('old')
        self.assertEqual(self.repository_id, self.found('old').id)


class TestKnown(TakeoverTestCase):
    """The catalog is an old copy, or somebody else took it over."""

    def setUp(self):
        super().setUp()
        self.repository_id = self.fixture.make_repository()

    def test_images_stay(self):
        image = self.fixture.make_image()
        self.begin()
        self.assertEqual(
            'available', images.show(self.catalog, image.id).state
        )
        self.fixture.restore(image)

    def test_collections_stop(self):
        """What this catalog takes for dead may not be."""
        pending = repositories.collect(self.catalog, 'default')
        self.begin()
        self.assertEqual('cancelled', self.fixture.job(pending.id).state)

    def test_collection_that_runs_stops(self):
        job = repositories.collect(self.catalog, 'default')
        self.fixture.run(job.id)
        self.begin()
        self.assertIsNotNone(self.fixture.job(job.id).cancel_reason)

    def test_backup_that_waits_to_go_on_ends(self):
        """What it has stored may have been collected by whoever was owner."""
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        outcomes.checkpoint(
            self.catalog,
            job.id,
            spec.token,
            messages.Checkpoint({'id': 'x'}, 7, {}),
        )
        self.fixture.finish(spec, 'returned')
        self.begin()
        job = self.fixture.job(job.id)
        self.assertEqual('cancelled', job.state)
        self.assertIn('taken over', job.error['message'])
        self.assertEqual('error', self.fixture.image(job.image_id).state)

    def test_backup_that_runs_ends(self):
        _, job = self.fixture.reserve()
        spec = self.fixture.run(job.id)
        self.begin()
        self.assertIsNotNone(self.fixture.job(job.id).cancel_reason)
        self.assertFalse(self.fixture.commit(spec).accepted)
        self.fixture.age(job.id, 60)
        leases.expire(self.catalog, self.fixture.conf)
        self.assertEqual('cancelled', self.fixture.job(job.id).state)

    def test_name_is_not_changed_by_the_way(self):
        said = self.refused('repository-exists', self.begin, 'other')
        self.assertIn('default', said)

    def test_it_waits_for_upkeep_that_runs(self):
        check = repositories.check(self.catalog, 'default')
        spec = self.fixture.run(check.id)
        _, job = self.begin()
        self.assertEqual({}, self.fixture.assign())
        self.fixture.finish(spec)
        self.assertEqual([job.id], [*self.fixture.assign()])
