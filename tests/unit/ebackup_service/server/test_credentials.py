# SPDX-License-Identifier: Apache-2.0
import os
import stat
import threading

import fixtures

from ebackup_service import conf as service_conf
from ebackup_service.server import credentials
from tests import base
from tests import environment

SECRET = {'key': 'AQ-very-secret=='}


class CredentialsTestCase(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.default = f'{self.directory}/ebackup.keys'
        self.conf = service_conf.new()
        self.conf.set_override('state_path', self.directory)

    def name_file(self, name='keys'):
        """Let the option name a file; return its path."""
        path = f'{self.directory}/{name}'
        self.conf.set_override('key_file', path, group='server')
        return path

    def encrypt(self):
        return credentials.encrypt(self.conf, SECRET)

    def decrypt(self, token):
        return credentials.decrypt(self.conf, token, 'ceph1')

    def refused(self, function, *arguments):
        error = self.assertRaises(
            credentials.KeyUnusable, function, *arguments
        )
        self.assertEqual(('key-unusable', 500), (error.kind, error.code))
        self.assertNotIn('secret', str(error))
        return str(error)

    def write(self, path, text, mode=0o600):
        with open(path, 'w') as file:
            file.write(text)
        os.chmod(path, mode)

    def read(self, path):
        with open(path) as file:
            return file.read()


class TestEncryption(CredentialsTestCase):
    def test_round_trip(self):
        token = self.encrypt()
        self.assertNotIn('secret', token)
        self.assertEqual(SECRET, self.decrypt(token))

    def test_same_credentials_are_never_encrypted_the_same(self):
        self.assertNotEqual(self.encrypt(), self.encrypt())

    def test_changed_token_is_refused(self):
        token = self.encrypt()
        for changed in (f'{token[:-9]}A{token[-8:]}', 'x', ''):
            if changed != token:
                self.assertIn("'ceph1'", self.refused(self.decrypt, changed))


class TestDefaultFile(CredentialsTestCase):
    def test_made_on_first_use_for_its_owner_alone(self):
        self.encrypt()
        mode = stat.S_IMODE(os.stat(self.default).st_mode)
        self.assertEqual(0o600, mode)
        self.assertEqual(['ebackup.keys'], os.listdir(self.directory))

    def test_kept_from_then_on(self):
        token = self.encrypt()
        before = self.read(self.default)
        self.encrypt()
        self.assertEqual(before, self.read(self.default))
        self.assertEqual(SECRET, self.decrypt(token))

    def test_not_made_to_decrypt(self):
        token = self.encrypt()
        os.unlink(self.default)
        self.assertIn('is missing', self.refused(self.decrypt, token))
        self.assertEqual([], os.listdir(self.directory))

    def test_many_at_once_make_one(self):
        tokens = []
        barrier = threading.Barrier(8)

        def encrypt():
            barrier.wait(60)
            tokens.append(self.encrypt())

        threads = [threading.Thread(target=encrypt) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual([SECRET] * 8, [*map(self.decrypt, tokens)])

    def test_what_root_makes_is_its_directorys_owners(self):
        if os.geteuid():
            environment.lacks('root')
        os.chown(self.directory, 12345, 23456)
        self.encrypt()
        made = os.stat(self.default)
        self.assertEqual((12345, 23456), (made.st_uid, made.st_gid))
        os.chown(self.directory, 0, 0)
        credentials.create_key(self.conf)
        made = os.stat(self.default)
        self.assertEqual((12345, 23456), (made.st_uid, made.st_gid))

    def test_directory_that_is_missing(self):
        self.conf.set_override('state_path', f'{self.directory}/missing')
        self.assertIn('can not be made: No such', self.refused(self.encrypt))

    def test_none_where_the_catalog_is_no_file_of_ours(self):
        for connection in (
            'mysql+pymysql://u:p@host/ebackup',
            'sqlite://',
            'sqlite:///:memory:',
            f'sqlite:///file:{self.directory}/c?mode=ro&uri=true',
        ):
            self.conf.set_override('connection', connection, group='database')
            said = self.refused(self.encrypt)
            self.assertIn('[server]key_file', said)
            self.assertIn('ebackup-manage storage create-key', said)
        self.assertEqual([], os.listdir(self.directory))


class TestNamedFile(CredentialsTestCase):
    def test_not_made_by_itself(self):
        path = self.name_file()
        said = self.refused(self.encrypt)
        self.assertIn(f'{path} is missing', said)
        self.assertIn('storage create-key', said)

    def test_open_to_others_is_refused(self):
        path = self.name_file()
        credentials.create_key(self.conf)
        token = self.encrypt()
        for mode in (0o640, 0o604, 0o620, 0o601):
            os.chmod(path, mode)
            for use in (self.encrypt, lambda: self.decrypt(token)):
                self.assertIn(f'chmod 600 {path}', self.refused(use))
        os.chmod(path, 0o400)
        self.assertEqual(SECRET, self.decrypt(token))

    def test_what_is_no_key_is_told_by_its_line_and_not_quoted(self):
        path = self.name_file()
        credentials.create_key(self.conf)
        key = self.read(path)
        self.write(path, f'{key}\nsecret-but-wrong\n')
        self.assertIn('Line 3 of', self.refused(self.encrypt))

    def test_empty_one_and_one_of_bytes_are_refused(self):
        path = self.name_file()
        self.write(path, '\n')
        self.assertIn('has no key', self.refused(self.encrypt))
        self.write(path, 'ä')
        self.assertIn('is no text', self.refused(self.encrypt))

    def test_directory_in_its_place(self):
        os.mkdir(self.name_file(), 0o700)
        self.assertIn('Is a directory', self.refused(self.encrypt))


class TestRotation(CredentialsTestCase):
    def setUp(self):
        super().setUp()
        self.path = self.name_file()
        self.assertEqual(self.path, credentials.create_key(self.conf))
        self.token = self.encrypt()

    def test_new_key_comes_first_and_the_others_stay(self):
        [old] = self.read(self.path).split()
        credentials.create_key(self.conf)
        keys = self.read(self.path).split()
        self.assertEqual((2, old), (len(keys), keys[1]))
        self.assertEqual(SECRET, self.decrypt(self.token))
        mode = stat.S_IMODE(os.stat(self.path).st_mode)
        self.assertEqual(0o600, mode)
        self.assertEqual(['keys'], os.listdir(self.directory))

    def test_old_key_is_not_needed_after_encrypting_again(self):
        credentials.create_key(self.conf)
        again = credentials.reencrypt(self.conf, self.token, 'ceph1')
        self.write(self.path, self.read(self.path).split()[0])
        self.assertEqual(SECRET, self.decrypt(again))
        self.assertIn(
            'put the key back', self.refused(self.decrypt, self.token)
        )

    def test_encrypting_again_needs_the_old_key(self):
        os.unlink(self.path)
        credentials.create_key(self.conf)
        said = self.refused(
            credentials.reencrypt, self.conf, self.token, 'ceph1'
        )
        self.assertIn("'ceph1'", said)

    def test_file_that_is_damaged_is_not_written_to(self):
        self.write(self.path, 'secret-but-wrong')
        self.refused(credentials.create_key, self.conf)
        self.assertEqual('secret-but-wrong', self.read(self.path))

    def test_file_that_can_not_be_written_stays(self):
        before = self.read(self.path)
        self.useFixture(
            fixtures.MockPatch('os.replace', side_effect=OSError(28, 'full'))
        )
        self.assertRaises(OSError, credentials.create_key, self.conf)
        self.assertEqual(before, self.read(self.path))
        self.assertEqual(['keys'], os.listdir(self.directory))
