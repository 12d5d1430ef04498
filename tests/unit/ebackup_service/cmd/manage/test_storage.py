# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os

import fixtures

from ebackup_service.cmd import manage
from ebackup_service.server.catalog import refusal
from ebackup_service.server.catalog import storage as storage_rows
from ebackup_service.server import credentials
from ebackup_service.server import storages
from tests.unit.ebackup_service.cmd.manage import base
from tests.unit.ebackup_service import storage_fixture

SECRET = storage_fixture.SECRET


class StorageTestCase(base.ManageTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(storage_fixture.PlayedKind())
        self.file = f'{self.directory}/credentials'
        self.write({'key': SECRET})

    def write(self, document):
        with open(self.file, 'w') as file:
            file.write(json.dumps(document))

    def run_command(self, *words):
        code, out, err = super().run_command(*words)
        self.assertNotIn(SECRET, out + err)
        return code, out, err

    def create(self, name='ceph1', *options):
        words = ('--setting', 'pool=volumes', '--credentials', self.file)
        return self.ask(
            'storage', 'create', name, storage_fixture.KIND, *words, *options
        )['storage']

    def set(self, *options):
        return self.ask('storage', 'set', 'ceph1', *options)['storage']

    def key(self):
        storage = storages.show(self.catalog, 'ceph1')
        return credentials.decrypt(self.conf, storage.credentials, 'ceph1')


class CreateTest(StorageTestCase):
    def test_registered_as_told(self):
        created = self.create(
            'ceph1',
            *('--backend', 'node@one', '--backend', 'node@two'),
            *('--setting', 'depth=4', '--trust', 'shadow', '--no-anchors'),
        )
        self.assertEqual(
            (
                ['node@one', 'node@two'],
                {'pool': 'volumes', 'depth': 4},
                'shadow',
                False,
                True,
            ),
            (
                created['backends'],
                created['settings'],
                created['trust'],
                created['anchors'],
                created['has_credentials'],
            ),
        )
        self.assertEqual({'key': SECRET}, self.key())

    def test_what_is_not_told_has_a_default(self):
        created = self.create()
        self.assertEqual(
            ([], 'trusted', True),
            (created['backends'], created['trust'], created['anchors']),
        )

    def test_credentials_from_standard_input(self):
        given = io.StringIO(json.dumps({'key': SECRET}))
        self.useFixture(fixtures.MonkeyPatch('sys.stdin', given))
        self.file = '-'
        self.create()
        self.assertEqual({'key': SECRET}, self.key())

    def test_text_that_looks_like_json_can_be_quoted(self):
        created = self.create('ceph1', '--setting', 'pool="7"')
        self.assertEqual({'pool': '7'}, created['settings'])

    def test_what_is_wrong_is_said(self):
        for code, said, words in (
            (2, 'storage.name', ('a/b', 'played')),
            (2, 'storage.kind', ('a', 'No')),
            (1, "'tape'", ('a', 'tape')),
            (1, "'pool' is", ('a', 'played')),
            (1, 'settings.pool', ('a', 'played', '--setting', 'pool=7')),
            (1, "'node'", ('a', 'played', '--backend', 'node')),
            (1, 'No such file', ('a', 'played', '--credentials', '/no/no')),
        ):
            self.assertIn(
                said, self.refused(code, 'storage', 'create', *words)
            )
        words = ('storage', 'create', 'a', 'played', '--setting', 'pool')
        self.assertRaises(SystemExit, self.run_command, *words)

    def test_file_that_is_no_json_is_not_quoted(self):
        words = ('a', 'played', '--credentials', self.file)
        for content in (SECRET.encode(), b'\xff' + SECRET.encode(), b''):
            with open(self.file, 'wb') as file:
                file.write(content)
            said = self.refused(2, 'storage', 'create', *words)
            self.assertIn(f'credentials in {self.file}: not JSON', said)
        self.write([SECRET])
        said = self.refused(2, 'storage', 'create', *words)
        self.assertIn('storage.credentials', said)

    def test_name_that_is_taken(self):
        self.create()
        words = ('storage', 'create', 'ceph1', 'played')
        words += ('--setting', 'pool=x', '--credentials', self.file)
        self.assertIn('already', self.refused(1, *words))


class ExistingTest(StorageTestCase):
    def setUp(self):
        super().setUp()
        self.created = self.create()

    def test_list_and_show(self):
        listed = self.ask('storage', 'list')['storages']
        shown = self.ask('storage', 'show', 'ceph1')['storage']
        self.assertEqual([shown], listed)
        _code, out, _err = self.run_command('storage', 'list')
        self.assertIn('trusted', out)

    def test_that_its_credentials_are_refused(self):
        with self.catalog.writer() as session:
            [known] = storage_rows.every(session)
            refusal.note(session, known.id, known.updated_at, '', 1, 60.0)
        shown = self.ask('storage', 'show', 'ceph1')['storage']
        self.assertLess(shown['refused_since'], shown['login_after'])
        _code, out, _err = self.run_command('storage', 'list')
        self.assertIn(shown['refused_since'], out)

    def test_hosts_that_it_refuses(self):
        with self.catalog.writer() as session:
            [known] = storage_rows.every(session)
            refusal.note(session, known.id, known.updated_at, 'one', 1, 60.0)
        [shown] = self.ask('storage', 'show', 'ceph1')['storage'][
            'refused_hosts'
        ]
        self.assertEqual('one', shown['host'])
        self.assertLess(shown['refused_since'], shown['login_after'])
        _code, out, _err = self.run_command('storage', 'list')
        self.assertIn('host: one', out)

    def test_set_changes_what_is_named(self):
        changed = self.set('--trust', 'shadow', '--backend', 'node@two')
        self.assertEqual(
            ('shadow', ['node@two'], True),
            (changed['trust'], changed['backends'], changed['anchors']),
        )
        self.assertFalse(self.set('--no-anchors')['anchors'])
        self.write({'key': 'another-key'})
        self.set('--credentials', self.file)
        self.assertEqual({'key': 'another-key'}, self.key())

    def test_set_takes_credentials_away(self):
        words = ('storage', 'create', 'a', 'rbd', '--setting', 'pool=x')
        self.write({'key': 'QVFE'})
        self.ask(*words, '--setting', 'user=u', '--credentials', self.file)
        changed = self.ask('storage', 'set', 'a', '--no-credentials')
        self.assertFalse(changed['storage']['has_credentials'])
        # One of this kind has none at all without.
        said = self.refused(1, 'storage', 'set', 'ceph1', '--no-credentials')
        self.assertIn("'key' is a required", said)
        self.assertEqual({'key': SECRET}, self.key())

    def test_empty_credentials_are_none(self):
        self.write({})
        words = ('storage', 'create', 'a', 'rbd', '--setting', 'pool=x')
        made = self.ask(*words, '--credentials', self.file)['storage']
        self.assertFalse(made['has_credentials'])

    def test_credentials_are_given_or_taken_away(self):
        words = ('storage', 'set', 'ceph1', '--no-credentials')
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertRaises(
                SystemExit, manage.main, [*words, '--credentials', self.file]
            )
        self.assertIn('not allowed with', said.getvalue())

    def test_set_nothing(self):
        said = self.refused(2, 'storage', 'set', 'ceph1')
        self.assertIn('nothing to change', said)

    def test_delete(self):
        self.assertEqual(
            {'storage': None}, self.ask('storage', 'delete', 'ceph1')
        )
        self.assertEqual([], self.ask('storage', 'list')['storages'])

    def test_delete_by_force(self):
        self.make_repository()
        image_id = self.make_image()
        storage_fixture.leave_anchor(self.catalog, 'ceph1', image_id)
        said = self.refused(1, 'storage', 'delete', 'ceph1')
        self.assertIn('storage delete --force', said)
        left = self.ask('storage', 'delete', '--force', 'ceph1')['storage']
        [snapshot] = left['snapshots']
        self.assertEqual(
            ('deleted', 'backup.i.snap.1', image_id),
            (left['state'], snapshot['name'], snapshot['image_id']),
        )
        self.assertEqual([], self.ask('storage', 'list')['storages'])
        self.create()
        storage_fixture.leave_anchor(self.catalog, 'ceph1', image_id)
        words = ('storage', 'delete', 'ceph1', '--force')
        _code, out, _err = self.run_command(*words)
        for said in ('backup.i.snap.1', 'volume_id: ', 'snapshot_id: 7'):
            self.assertIn(said, out)
        self.refused(3, *words)

    def test_configured_one_is_left(self):
        storages.update(self.catalog, self.conf, 'ceph1', configured=True)
        said = self.refused(1, 'storage', 'delete', 'ceph1')
        self.assertIn('[server]enabled_storages', said)


class KeyTest(StorageTestCase):
    def test_rotation(self):
        self.create()
        path = f'{self.directory}/ebackup.keys'
        self.assertEqual(
            {'key': {'file': path}}, self.ask('storage', 'create-key')
        )
        self.assertEqual(
            {'credentials': {'storages': 1}}, self.ask('storage', 'reencrypt')
        )
        with open(path) as file:
            newest = file.readline()
        with open(path, 'w') as file:
            file.write(newest)
        self.assertEqual({'key': SECRET}, self.key())

    def test_file_that_is_named_is_made(self):
        path = f'{self.directory}/keys'
        with open(f'{self.directory}/ebackup.conf', 'a') as options:
            options.write(f'[server]\nkey_file = {path}\n')
        words = ('storage', 'create', 'a', 'played', '--setting', 'pool=x')
        said = self.refused(1, *words, '--credentials', self.file)
        self.assertIn('create-key', said)
        self.ask('storage', 'create-key')
        self.assertEqual(0o600, os.stat(path).st_mode & 0o777)
        self.ask(*words, '--credentials', self.file)

    def test_key_that_is_gone_is_said(self):
        self.create()
        os.unlink(f'{self.directory}/ebackup.keys')
        said = self.refused(1, 'storage', 'reencrypt')
        self.assertIn('is missing', said)
