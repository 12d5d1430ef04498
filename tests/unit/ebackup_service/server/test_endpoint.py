# SPDX-License-Identifier: Apache-2.0

import threading

from ebackup_service.rpc import damage
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import messages
from ebackup_service.rpc import topics
from ebackup_service.server.catalog import refusal
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import endpoint
from ebackup_service.server import proxies
from ebackup_service.server import repositories
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import messages_fixture


class TestServerEndpoint(base.BaseTestCase):
    """Through the client and the bus, as a proxy does it."""

    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.fixture.make_repository()
        self.awake = threading.Event()
        bus = self.useFixture(messages_fixture.Bus(self.fixture.conf))
        bus.listen(
            topics.SERVER,
            'server',
            endpoint.ServerEndpoint(
                self.fixture.conf, self.catalog, self.awake.set
            ),
        )
        self.client = bus.server_client()

    def backup(self):
        image, job = self.fixture.reserve()
        return image, self.fixture.run(job.id)

    def test_announce(self):
        self.client.announce('a', '1.2', {'max_jobs': 3})
        [status] = proxies.list(self.catalog, self.fixture.conf)
        self.assertEqual(
            ('a', '1.2', {'max_jobs': 3}),
            (
                status.proxy.host,
                status.proxy.version,
                status.proxy.capabilities,
            ),
        )

    def test_announce_that_it_stops(self):
        storage_id = catalog_fixture.new_id()
        with self.catalog.writer() as session:
            storage_rows.insert(
                session,
                id=storage_id,
                name='ceph1',
                kind='rbd',
                backends=[],
                settings={},
                trust=storage_rows.TRUSTED,
                anchors=True,
                configured=False,
            )
            [known] = storage_rows.every(session)
            refusal.note(session, storage_id, known.updated_at, 'a', 1, 60.0)
        self.client.announce('a', '1.2', {'stopping': False})
        self.assertEqual(['a'], self.refused_hosts())
        self.client.announce('b', '1.2', {'stopping': True})
        self.assertEqual(['a'], self.refused_hosts())
        self.client.announce('a', '1.2', {'stopping': True})
        self.assertEqual([], self.refused_hosts())

    def refused_hosts(self):
        [storage] = storages.list(self.catalog)
        return [*storage.refusals]

    def test_renew(self):
        _, spec = self.backup()
        grant = self.client.renew(spec.id, spec.token, {'percent': 7})
        self.assertTrue(grant.granted)
        self.assertEqual({'percent': 7}, self.fixture.job(spec.id).progress)

    def test_commit_and_finish(self):
        image, spec = self.backup()
        commit = messages.Commit({'id': 'x'}, 1, 65536, {})
        self.assertTrue(
            self.client.commit_image(spec.id, spec.token, commit).accepted
        )
        outcome = messages.Outcome('succeeded', {'kind': 'full'})
        self.assertTrue(
            self.client.finish(spec.id, spec.token, outcome).accepted
        )
        self.assertEqual('available', self.fixture.image(image.id).state)
        self.assertTrue(self.awake.wait(10))

    def test_live(self):
        image, _ = self.backup()
        job = repositories.collect(self.catalog, 'default')
        spec = self.fixture.run(job.id)
        answer = self.client.live(spec.id, spec.token, [image.id])
        self.assertTrue(answer.accepted)
        self.assertEqual(1, len(answer.sessions))

    def test_damage(self):
        image = self.fixture.make_image()
        job = repositories.check(self.fixture.catalog, 'default')
        spec = self.fixture.run(job.id)
        report = damage.Report([damage.Image(image.id, [[0, 1]])])
        self.assertTrue(
            self.client.take_damage(spec.id, spec.token, report).accepted
        )
        answer = self.client.known_damage(spec.id, spec.token, '')
        self.assertEqual(report.images, answer.images)
        _, job = self.fixture.reserve(
            volume_id=image.volume_id, size=image.size
        )
        base = self.fixture.run(job.id).base
        answer = self.client.pinned_bases(spec.id, spec.token)
        self.assertEqual([base], answer.trees)
        answer = self.client.missed_images(spec.id, spec.token, [])
        self.assertEqual([image.id], [t.image_id for t in answer.trees])

    def test_wake(self):
        self.client.wake()
        self.assertTrue(self.awake.wait(10))

    def test_message_that_makes_no_sense_is_an_error_without_details(self):
        nonsense = messages.Outcome('nonsense', {'key': 'secret'})
        error = self.assertRaises(
            rpc_errors.PeerUnreachable, self.client.finish, 'a', 1, nonsense
        )
        self.assertIn('finish', str(error))
        self.assertNotIn('secret', str(error))
