# SPDX-License-Identifier: Apache-2.0

import os
from unittest import mock

from ebackup_service.engine import control
from ebackup_service.proxy import backup
from ebackup_service.proxy import takeover
from ebackup_service.repository import document
from ebackup_service.repository import errors as repository_errors
from ebackup_service.server import takeover as server_takeover
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK


class TakeoverTestCase(base.BaseTestCase):
    """``old`` is the service that is gone, ``new`` the one that takes over."""

    def setUp(self):
        super().setUp()
        self.old = self.useFixture(proxy_fixture.Proxy())
        self.old.create_repository()
        self.new = self.useFixture(proxy_fixture.Proxy())
        self.repo = self.old.open_repository()

    def begin(self, **values):
        wanted = {'url': self.old.url, 'repository_id': self.repo.id}
        _, job = server_takeover.begin(
            self.new.catalog, 'default', **{**wanted, **values}
        )
        return self.new.task(self.new.spec(job.id))

    def take_over(self):
        task = self.begin()
        result = takeover.run(task)
        self.new.finish(task.spec, result=result)
        return task, result


class TestTakeOver(TakeoverTestCase):
    def test_old_service_is_fenced(self):
        path = self.old.write_volume(os.urandom(CHUNK))
        late = self.old.backup_task(path)
        task, result = self.take_over()
        owner = late.spec.repository.owner
        self.assertEqual(
            (owner.service_id, owner.generation),
            (
                result['previous_owner']['service_id'],
                result['previous_owner']['generation'],
            ),
        )
        self.assertRaises(repository_errors.ForeignOwner, backup.run, late)
        self.repo.check_owner(
            task.spec.repository.owner.service_id, result['owner_generation']
        )

    def test_second_time_is_newer_still(self):
        _, first = self.take_over()
        _, second = self.take_over()
        self.assertGreater(
            second['owner_generation'], first['owner_generation']
        )

    def refused(self, error, task):
        owner = self.repo.storage.read('owner.json')
        self.assertRaises(error, takeover.run, task)
        self.assertEqual(owner, self.repo.storage.read('owner.json'))

    def test_another_repository_than_was_named_is_refused(self):
        self.refused(
            repository_errors.RepositoryMismatch,
            self.begin(repository_id=catalog_fixture.new_id()),
        )

    def test_place_without_a_repository_is_refused(self):
        os.mkdir(f'{self.new.directory}/empty')
        url = f'file://{self.new.directory}/empty'
        self.refused(repository_errors.NotARepository, self.begin(url=url))

    def test_newer_format_is_refused(self):
        path = f'{self.old.directory}/repository/repository.json'
        os.chmod(path, 0o600)
        with mock.patch.object(document, 'VERSION', 2):
            newer = document.seal('repository', {'looks': 'otherwise'})
        with open(path, 'wb') as file:
            file.write(newer)
        self.refused(repository_errors.UnsupportedFormat, self.begin())

    def test_damaged_owner_marker_is_no_obstacle(self):
        self.repo.storage.replace('owner.json', b'damaged')
        _, result = self.take_over()
        self.assertIsNone(result['previous_owner'])

    def test_stopped(self):
        task = self.begin()
        task.control.cancel('Not today.')
        self.refused(control.JobStopped, task)

    def test_without_it_the_repository_is_refused(self):
        spec = self.begin().spec.repository
        self.assertRaises(
            repository_errors.ForeignOwner,
            self.repo.claim,
            spec.owner.service_id,
            spec.owner.generation,
        )
