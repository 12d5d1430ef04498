# SPDX-License-Identifier: Apache-2.0
from concurrent import futures
import importlib.metadata
import logging
import threading

import fixtures
from oslo_config import cfg

from ebackup_service import conf as service_conf
from ebackup_service.conf import storage as storage_conf
from ebackup_service.production import registry
from ebackup_service.server.catalog import refusal
from ebackup_service.server import credentials
from ebackup_service.server import enabled_storages
from ebackup_service.server import errors
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import storage_fixture

SECTION = {
    'kind': storage_fixture.KIND,
    'backends': 'node@one, node@two',
    'pool': 'volumes',
    'depth': 4,
    'key': storage_fixture.SECRET,
}


class EnabledStoragesTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.fixture = self.useFixture(catalog_fixture.Catalog())
        self.catalog = self.fixture.catalog
        self.useFixture(storage_fixture.PlayedKind())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def ensure(self, **sections):
        """Start with these sections; return the options."""
        names = {'server': {'enabled_storages': ', '.join(sections)}}
        conf = self.fixture.make_conf({**names, **sections})
        enabled_storages.ensure(self.catalog, conf)
        return conf

    def show(self, name='ceph1'):
        return storages.show(self.catalog, name)

    def refused(self, kind, **sections):
        error = self.assertRaises(errors.ServerError, self.ensure, **sections)
        self.assertEqual(kind, error.kind)
        self.assertNotIn(storage_fixture.SECRET, str(error))
        return str(error)


class TestEnsure(EnabledStoragesTestCase):
    def test_registered_as_its_section_says(self):
        conf = self.ensure(ceph1={**SECTION, 'trust': 'shadow'})
        found = self.show()
        self.assertEqual(
            (
                'played',
                ['node@one', 'node@two'],
                {'pool': 'volumes', 'depth': 4},
                'shadow',
                True,
                True,
            ),
            (
                found.kind,
                found.backends,
                found.settings,
                found.trust,
                found.anchors,
                found.configured,
            ),
        )
        self.assertEqual(
            {'key': storage_fixture.SECRET},
            credentials.decrypt(conf, found.credentials, 'ceph1'),
        )

    def test_two_servers_that_start_at_once_register_it_once(self):
        """Both have looked before the first one registers it."""
        both = threading.Barrier(2, timeout=60)
        create = storages.create

        def create_at_once(*arguments, **values):
            both.wait()
            return create(*arguments, **values)

        self.patch(storages, 'create', create_at_once)
        with futures.ThreadPoolExecutor(2) as servers:
            started = [
                servers.submit(self.ensure, ceph1=SECTION) for _ in range(2)
            ]
        for server in started:
            server.result()
        [found] = storages.list(self.catalog)
        self.assertEqual(('ceph1', True), (found.name, found.configured))

    def test_nothing_is_done_without(self):
        self.ensure()
        self.assertEqual([], storages.list(self.catalog))

    def test_changed_at_the_next_start(self):
        self.ensure(ceph1=SECTION)
        before = self.show()
        self.ensure(ceph1={**SECTION, 'pool': 'other', 'anchors': False})
        after = self.show()
        self.assertEqual(before.id, after.id)
        self.assertEqual(
            ('other', False), (after.settings['pool'], after.anchors)
        )

    def test_refused_credentials_are_tried_again_at_the_next_start(self):
        self.ensure(ceph1=SECTION)
        with self.catalog.writer() as session:
            known = self.show()
            refusal.note(session, known.id, known.updated_at, '', 1, 60.0)
        self.assertEqual([''], list(self.show().refusals))
        self.ensure(ceph1=SECTION)
        self.assertEqual({}, self.show().refusals)

    def test_one_that_was_registered_by_hand_is_configured_then(self):
        storages.create(
            self.catalog,
            self.fixture.conf,
            'ceph1',
            storage_fixture.KIND,
            **storage_fixture.values(),
        )
        self.ensure(ceph1=SECTION)
        self.assertTrue(self.show().configured)

    def test_one_that_is_not_named_any_more_stays_and_may_be_changed(self):
        self.ensure(ceph1=SECTION)
        self.ensure()
        self.assertFalse(self.show().configured)
        storages.delete(self.catalog, 'ceph1')

    def test_back_end_that_a_job_needs_stays_and_that_is_said(self):
        self.ensure(ceph1=SECTION)
        self.fixture.make_repository()
        _, job = self.fixture.reserve(volume={'host': 'node@one#pool'})
        self.ensure(ceph1={**SECTION, 'backends': 'node@two'})
        self.assertEqual(['node@one', 'node@two'], self.show().backends)
        self.assertIn(
            f'ceph1 stays as it was: backup job {job.id}', self.log.output
        )

    def test_secrets_are_not_logged_with_the_options(self):
        conf = self.ensure(ceph1=SECTION)
        conf.log_opt_values(logging.getLogger('options'), logging.DEBUG)
        self.assertIn('ceph1.pool', self.log.output)
        self.assertNotIn(storage_fixture.SECRET, self.log.output)


class TestKinds(base.BaseTestCase):
    """What is installed, not what is played."""

    def test_every_kind_can_be_described_in_a_section(self):
        kinds = importlib.metadata.entry_points(group=registry.NAMESPACE).names
        described = set()
        for kind in kinds:
            cls = registry.storage_class(kind)
            if cls.SETTINGS is None:
                continue
            values = storage_conf.values(
                service_conf.new(), kind, cls.SETTINGS, cls.CREDENTIALS
            )
            self.assertIn('settings', values)
            described.add(kind)
        self.assertLessEqual({'nbd', 'rbd'}, described)


class TestTrouble(EnabledStoragesTestCase):
    def test_what_is_wrong_is_told_with_its_section(self):
        for kind, change, said in (
            ('storage-kind', {'kind': 'tape'}, "'tape'"),
            ('storage-settings', {'pool': None}, "'pool' is a required"),
            ('storage-credentials', {'key': None}, "'key' is a required"),
            ('storage-backends', {'backends': 'node'}, "'node' is no back"),
        ):
            section = {
                name: value
                for name, value in {**SECTION, **change}.items()
                if value is not None
            }
            text = self.refused(kind, ceph1=section)
            self.assertIn('[ceph1]: ', text)
            self.assertIn(said, text)

    def test_back_end_in_two_sections(self):
        self.refused('backend-taken', ceph1=SECTION, ceph2=SECTION)

    def test_another_kind_needs_another_name(self):
        self.ensure(ceph1=SECTION)

        class Other(storage_fixture.PlayedStorage):
            pass

        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.production.registry.storage_class',
                lambda kind: Other,
            )
        )
        text = self.refused('storage-kind', ceph1={**SECTION, 'kind': 'new'})
        self.assertIn('of kind played', text)

    def test_section_without_a_kind(self):
        for sections in ({'ceph1': {'pool': 'x'}}, {'api': {'port': 1}}):
            error = self.assertRaises(cfg.Error, self.ensure, **sections)
            self.assertIn('kind', str(error))

    def test_wrong_type_names_the_option(self):
        error = self.assertRaises(
            cfg.Error, self.ensure, ceph1={**SECTION, 'depth': 'deep'}
        )
        self.assertIn('depth', str(error))
