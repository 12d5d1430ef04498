# SPDX-License-Identifier: Apache-2.0
from ebackup_service.server.catalog import connection
from tests import base
from tests.unit.ebackup_service import catalog_fixture

JOBS = [catalog_fixture.new_id() for _ in range(2)]
VOLUMES = [catalog_fixture.new_id() for _ in range(2)]


def made(job_id=JOBS[0], volume_id=VOLUMES[0], proxy='here'):
    return connection.Connection(
        job_id=job_id,
        volume_id=volume_id,
        exported_type='volume',
        exported_id=volume_id,
        proxy=proxy,
        connector={'wwpns': ['1', '2'], 'multipath': False},
    )


class TestConnection(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.catalog = self.useFixture(catalog_fixture.Catalog()).catalog

    def insert(self, *connections):
        with self.catalog.writer() as session:
            for one in connections:
                connection.insert(session, one)

    def found(self, volume_id=VOLUMES[0]):
        with self.catalog.reader() as session:
            return connection.of_volume(session, volume_id)

    def test_those_of_a_volume_are_found(self):
        one, other = made(), made(JOBS[1], proxy='there')
        self.insert(one, other, made(volume_id=VOLUMES[1]))
        self.assertCountEqual([one, other], self.found())

    def test_those_of_jobs_are_found(self):
        one, other = made(), made(JOBS[1], VOLUMES[1])
        self.insert(one, other, made(catalog_fixture.new_id()))
        with self.catalog.reader() as session:
            found = connection.of_jobs(session, JOBS)
            self.assertEqual([], connection.of_jobs(session, []))
        self.assertCountEqual([one, other], found)

    def test_those_of_a_job_are_removed(self):
        self.insert(made(), made(proxy='there'), made(JOBS[1]))
        with self.catalog.writer() as session:
            connection.remove(session, JOBS[0])
        self.assertEqual([made(JOBS[1])], self.found())
