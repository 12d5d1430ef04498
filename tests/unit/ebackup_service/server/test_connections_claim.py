# SPDX-License-Identifier: Apache-2.0
import sqlalchemy as sa

from ebackup_service.server.catalog import models
from ebackup_service.server import connections
from ebackup_service.server import errors
from ebackup_service.server import jobs
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import connector_fixture
from tests.unit.ebackup_service.server import test_connections


class TestClaim(test_connections.ConnectionsTestCase):
    """A driver ends what another one has left."""

    def setUp(self):
        super().setUp()
        self.job = self.reserve(exported=self.volume_id)
        self.end(self.job)

    def end(self, job, host='here'):
        spec = self.assign(job, host)
        self.fixture.renew(spec)
        self.fail(spec)

    def claim(self, job=None):
        return connections.claim(self.catalog, (job or self.job).id)

    def assert_refused(self, kind, job=None):
        error = self.assertRaises(errors.Conflict, self.claim, job)
        self.assertEqual(kind, error.kind)

    def age(self, seconds):
        """Let it be so long ago that a driver began to end something."""
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Connection).values(
                    ending_at=models.Connection.ending_at
                    - round(seconds * 1000)
                )
            )

    def hand_out(self, *jobs_):
        """Whether these are handed out."""
        connector_fixture.announce(self.fixture)
        handed = self.fixture.assign()
        return [job.id in handed for job in jobs_]

    def test_what_is_left(self):
        (left,) = self.claim()
        self.assertEqual(self.volume_id, left.exported_id)
        self.assertEqual('here', left.connector['host'])

    def test_of_a_job_that_is_forgotten_or_has_nothing(self):
        connections.forget(self.catalog, self.job.id)
        self.assertEqual([], self.claim())
        with self.catalog.writer() as session:
            session.execute(sa.delete(models.Job))
        self.assertEqual([], self.claim())

    def test_not_of_a_job_that_goes_on(self):
        job = self.reserve()
        self.assert_refused('job-unfinished', job)
        self.assign(job)
        self.assert_refused('job-unfinished', job)

    def test_not_what_another_job_uses(self):
        user = self.reserve(exported=self.volume_id)
        self.assign(user)
        self.assert_refused('export-in-use')
        jobs.cancel(self.catalog, user.id)
        self.assertEqual(1, len(self.claim()))

    def test_nor_what_another_job_may_have_still(self):
        user = self.reserve(exported=self.volume_id)
        spec = self.assign(user)
        self.fixture.renew(spec)
        self.fixture.finish(spec, 'returned')
        self.assertEqual('pending', self.fixture.job(user.id).state)
        self.assert_refused('export-in-use')

    def test_nor_what_is_used_by_a_job_of_another_volume(self):
        """A clone that was backed up is a volume by itself."""
        volume = connector_fixture.volume(exported=self.volume_id)
        _, user = self.fixture.reserve(volume=volume)
        self.assign(user)
        self.assert_refused('export-in-use')

    def test_what_another_job_has_differently(self):
        self.assign(self.reserve(kind='snapshot', exported=self.volume_id))
        self.assign(self.reserve())
        self.fixture.age_proxy('here', 1000)
        self.assign(self.reserve(exported=self.volume_id), 'there')
        self.assertEqual(1, len(self.claim()))

    def test_by_one_driver_at_a_time(self):
        self.claim()
        self.assert_refused('export-ending')
        self.age(119)
        self.assert_refused('export-ending')
        # It was killed, too.
        self.age(2)
        self.assertEqual(1, len(self.claim()))
        self.assert_refused('export-ending')

    def test_others_are_not_in_the_way(self):
        other = self.reserve()
        self.end(other)
        self.claim()
        self.assertEqual(1, len(self.claim(other)))

    def test_nobody_gets_it_exported_meanwhile(self):
        self.claim()
        users = (
            self.reserve(exported=self.volume_id),
            self.fixture.reserve(volume=connector_fixture.volume())[1],
        )
        self.assertEqual([False, True], self.hand_out(*users))
        connections.forget(self.catalog, self.job.id)
        self.assertEqual([True], self.hand_out(users[0]))

    def test_nor_as_a_volume_by_itself(self):
        clone = catalog_fixture.new_id()
        self.job = self.reserve(exported=clone)
        self.end(self.job)
        self.claim()
        _, user = self.fixture.reserve(
            volume_id=clone, volume=connector_fixture.volume(exported=clone)
        )
        self.assertEqual([False], self.hand_out(user))

    def test_driver_that_is_killed_holds_up_nobody_for_long(self):
        self.claim()
        user = self.reserve(exported=self.volume_id)
        self.age(119)
        self.assertEqual([False], self.hand_out(user))
        self.age(2)
        self.assertEqual([True], self.hand_out(user))

    def test_nor_do_several_drivers_one_after_the_other(self):
        self.claim()
        user = self.reserve(exported=self.volume_id)
        self.assertEqual([False], self.hand_out(user))
        self.age(121)
        self.assert_refused('export-in-use')
        self.assertEqual([True], self.hand_out(user))

    def test_other_volumes_do_not_count(self):
        self.fixture.reserve(volume=connector_fixture.volume())
        self.assertEqual(1, len(self.claim()))

    def test_volume_that_is_attached_waits_for_nothing(self):
        self.claim()
        _, job = self.fixture.reserve(volume_id=self.volume_id)
        self.fixture.attach(job.id)
        self.age(121)
        self.assertEqual(1, len(self.claim()))
        self.assertEqual([True], self.hand_out(job))
