# SPDX-License-Identifier: Apache-2.0
"""The lab's Ceph and Cinder's volumes in it, in profile ceph."""

import json
import os
import pathlib
import subprocess
import uuid

from tests.functional import base
from tests.functional import lab
from tests.functional import sockets
from tests.functional import test_lab_program

RBD, FILE = 'rbd', 'file'
CEPH = 'ceph-mon', 'ceph-mgr', 'ceph-osd', 'ceph-rgw'
DATA = b'some bytes'


class CephTestCase(base.LabTestCase):
    def setUp(self) -> None:
        super().setUp()
        if self.lab.profile != 'ceph':
            self.skipTest('the lab has no Ceph')
        self.etc = self.lab.directory / 'etc/ceph'

    def program(
        self, *command: str, user: str = 'admin'
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of Ceph's as one of its users."""
        return subprocess.run(
            [command[0], '--id', user, *command[1:]],
            env=os.environ | {'CEPH_CONF': str(self.etc / 'ceph.conf')},
            capture_output=True,
            text=True,
        )

    def ceph(self, *command: str, user: str = 'admin') -> str:
        done = self.program(*command, user=user)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def images(self) -> list[str]:
        return json.loads(
            self.ceph(*'rbd -p volumes ls --format json'.split())
        )

    def pids(self) -> dict[str, int]:
        return {s['name']: s['pid'] for s in self.lab.status()['services']}


class TestVolumes(CephTestCase):
    """Cinder's own driver works."""

    def test_new_volume_reads_as_zeros_and_takes_no_space(self) -> None:
        volume = self.create_volume()
        other = self.create_volume(volume_type=FILE)
        self.assertEqual(self.sha256(other), self.sha256(volume))
        used = self.ceph(
            *('rbd', 'du', f'volumes/volume-{volume}', '--format', 'json')
        )
        [found] = json.loads(used)['images']
        self.assertEqual(base.GIB, found['provisioned_size'])
        self.assertEqual(0, found['used_size'])

    def test_bytes_are_those_of_a_file_with_the_same(self) -> None:
        volumes = [self.create_volume(volume_type=t) for t in (RBD, FILE)]
        last = base.GIB - len(DATA)
        for volume in volumes:
            self.write(volume, 3 * base.MIB - 1, DATA)
            self.write(volume, last, DATA)
            self.assertEqual(DATA, self.read(volume, 3 * base.MIB - 1, 10))
            self.assertEqual(DATA, self.read(volume, last, 10))
        self.assertEqual(*map(self.sha256, volumes))
        self.write(volumes[0], 0, DATA)
        self.assertNotEqual(*map(self.sha256, volumes))

    def test_snapshot_keeps_what_the_volume_loses(self) -> None:
        volume = self.create_volume()
        self.write(volume, 5 * base.MIB, b'before')
        snapshot = self.create_snapshot(volume)
        self.write(volume, 5 * base.MIB, b'after!')
        copy = self.create_volume(snapshot_id=snapshot)
        self.assertEqual(b'before', self.read(copy, 5 * base.MIB, 6))
        self.assertEqual(b'after!', self.read(volume, 5 * base.MIB, 6))

    def test_clone_is_independent_and_may_be_larger(self) -> None:
        volume = self.create_volume()
        self.write(volume, base.GIB - 4, b'last')
        clone = self.create_volume(size=2, source_volume_id=volume)
        self.write(volume, base.GIB - 4, b'gone')
        self.assertEqual(b'last\0\0\0\0', self.read(clone, base.GIB - 4, 8))
        self.assertEqual(b'\0', self.read(clone, 2 * base.GIB - 1, 9))

    def test_volume_is_extended(self) -> None:
        volume = self.create_volume()
        self.write(volume, base.GIB - 4, b'last')
        storage = self.demo.block_storage
        storage.extend_volume(volume, 3)
        self.wait_for_status(storage.get_volume, volume, 'available')
        self.assertEqual(b'last\0\0\0\0', self.read(volume, base.GIB - 4, 8))
        self.assertEqual(b'\0', self.read(volume, 3 * base.GIB - 1, 9))

    def test_encrypted_volume_is_encrypted(self) -> None:
        volume = self.create_volume(volume_type='rbd-encrypted')
        self.assertEqual(b'LUKS', self.read(volume, 0, 4))

    def test_deleted_volume_leaves_no_image(self) -> None:
        volume = self.create_volume()
        self.assertIn(f'volume-{volume}', self.images())
        storage = self.demo.block_storage
        storage.delete_volume(volume)
        self.wait_until_gone(storage.get_volume, volume)
        self.assertNotIn(f'volume-{volume}', self.images())

    def test_attached_volume_is_an_image_and_comes_without_a_key(self) -> None:
        volume = self.create_volume()
        attachment = self.use_volume(volume)
        answer = self.demo.block_storage.get(f'/attachments/{attachment}')
        found = answer.json()['attachment']['connection_info']
        self.assertEqual('rbd', found['driver_volume_type'])
        self.assertEqual(f'volumes/volume-{volume}', found['name'])
        self.assertEqual('cinder', found['auth_username'])
        self.assertNotIn('keyring', found)


class TestFaults(CephTestCase):
    def test_killed_ceph_comes_back_with_its_data(self) -> None:
        volume = self.create_volume()
        content = os.urandom(9 * base.MIB)
        self.write(volume, base.MIB - 1, content)
        # Of a test before, services may be out of date.
        self.lab.run('up')
        self.addCleanup(self.lab.run, 'up')
        before = self.pids()
        for service in CEPH:
            self.lab.run('kill', service)
        self.lab.run('up')
        after = self.pids()
        self.assertEqual(
            content, self.read(volume, base.MIB - 1, len(content))
        )
        self.assertEqual('HEALTH_OK', self.ceph('ceph', 'health').split()[0])
        # Cinder has come through, and goes on.
        for service in 'cinder', 'ebackup', 'keystone':
            self.assertEqual(before[service], after[service])
        self.create_volume()


class TestUsers(CephTestCase):
    """Each may do what it has to, and nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.image = f'volumes/volume-{self.create_volume()}'

    def refused(self, *command: str, user: str) -> None:
        done = self.program(*command, user=user)
        self.assertNotEqual(0, done.returncode, done.stdout)
        self.assertRegex(done.stderr, 'EACCES|not permitted|ermission denied')

    def test_ebackup_reads_and_takes_snapshots(self) -> None:
        snapshot = f'{self.image}@mine'
        for command in (
            ['snap', 'create', snapshot],
            ['export-diff', snapshot, '-'],
            ['snap', 'rm', snapshot],
        ):
            self.ceph('rbd', *command, user='ebackup')

    def test_ebackup_has_what_the_documents_tell(self) -> None:
        printed = self.ceph(
            *('ceph', 'auth', 'get', 'client.ebackup', '--format', 'json')
        )
        [user] = json.loads(printed)
        document = lab.TREE / 'doc/source/admin/storages.rst'
        told = document.read_text()
        self.assertEqual({'mon', 'osd'}, set(user['caps']))
        for daemon, capability in user['caps'].items():
            self.assertIn(f"{daemon} '{capability}'", told)

    def test_images_are_for_reading_only(self) -> None:
        image = f'images/{base.unique("image")}'
        for user in 'ebackup', 'cinder':
            self.refused('rbd', 'create', '--size', '1M', image, user=user)

    def test_ebackup_sees_no_other_pool_and_changes_no_user(self) -> None:
        for user in 'ebackup', 'cinder':
            self.refused('rados', '-p', '.rgw.root', 'ls', user=user)
            self.refused('ceph', 'auth', 'ls', user=user)
            self.refused('ceph', 'osd', 'pool', 'rm', 'volumes', user=user)

    def test_keyrings_are_closed_to_others(self) -> None:
        user = self.etc.joinpath('ceph.client.ebackup.keyring').stat().st_gid
        self.assertNotEqual(0, user)
        for path in self.etc.glob('*.keyring'):
            status = path.stat()
            if path.name == 'ceph.client.ebackup.keyring':
                self.assertEqual(0o640, status.st_mode & 0o777)
            else:
                self.assertEqual(0o600, status.st_mode & 0o777, path)

    def test_cinder_and_ebackup_alone_see_the_lab_in_etc_ceph(self) -> None:
        pids = self.pids()
        for service in 'cinder', 'ebackup':
            seen = pathlib.Path(f'/proc/{pids[service]}/root/etc/ceph')
            self.assertTrue(seen.samefile(self.etc), service)
        self.assertFalse(self.etc.samefile('/etc/ceph'))


class TestGateway(CephTestCase):
    """What tools/lab env says is enough for S3."""

    def setUp(self) -> None:
        super().setUp()
        lines = self.lab.run('env').splitlines()
        exports = [line.removeprefix('export ') for line in lines]
        self.environment = dict(line.split('=', 1) for line in exports)

    def s3(self, method: str, path: str, *more: str, **keys: str) -> str:
        """Return the body of the answer, and right after it its status."""
        found = self.environment | keys
        user = f'{found["AWS_ACCESS_KEY_ID"]}:{found["AWS_SECRET_ACCESS_KEY"]}'
        return subprocess.run(
            [
                *('curl', '--silent', '--config', '-', '--request', method),
                *('--aws-sigv4', 'aws:amz:default:s3', *more),
                *('--header', 'x-amz-content-sha256: UNSIGNED-PAYLOAD'),
                *('--write-out', r'%{http_code}'),
                found['AWS_ENDPOINT_URL'] + path,
            ],
            input=f'user = "{user}"\n',
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def test_object_is_put_and_got(self) -> None:
        bucket = f'/{base.unique("bucket")}'
        self.assertEqual('200', self.s3('PUT', bucket))
        self.addCleanup(self.s3, 'DELETE', bucket)
        self.assertEqual(
            '200', self.s3('PUT', f'{bucket}/object', '--data', 'content')
        )
        self.addCleanup(self.s3, 'DELETE', f'{bucket}/object')
        self.assertEqual('content200', self.s3('GET', f'{bucket}/object'))

    def test_secret_is_in_no_log(self) -> None:
        secret = self.environment['AWS_SECRET_ACCESS_KEY']
        for log in self.lab.directory.glob('log/*.log'):
            self.assertNotIn(secret, log.read_text(errors='replace'), log)

    def test_wrong_secret_is_refused(self) -> None:
        said = self.s3('GET', '/', AWS_SECRET_ACCESS_KEY='wrong')
        self.assertRegex(said, '(?s)SignatureDoesNotMatch.*403$')


class TestDaemons(CephTestCase):
    def test_all_are_running_and_well(self) -> None:
        states = {s['name']: s['state'] for s in self.lab.status()['services']}
        self.assertEqual({'running'}, {states[name] for name in CEPH}, states)
        self.assertEqual('HEALTH_OK', self.ceph('ceph', 'health').split()[0])

    def test_they_listen_on_loopback_only(self) -> None:
        pids = self.pids()
        for name in CEPH:
            found = sockets.listening(pids[name])
            self.assertTrue(found, name)
            for address, _port in found:
                self.assertTrue(address.is_loopback, (name, found))


class TestRemains(CephTestCase, test_lab_program.LabLibraryTestCase):
    """What is left of an image of which Cinder was killed."""

    def test_only_a_name_without_an_image_is_removed(self) -> None:
        from lablib import lab
        from lablib import rbd_pool

        current = lab.Lab(self.lab.directory)
        name = f'remains-{uuid.uuid4()}'
        self.ceph('rbd', 'create', '--size', '1M', f'volumes/{name}')
        self.addCleanup(self.program, 'rbd', 'rm', f'volumes/{name}')
        self.assertFalse(rbd_pool.remove_remains(current, name))
        self.assertIn(name, self.images())
        number = rbd_pool.image_id(current, name)
        for left in (
            *(f'rbd_id.{name}', f'rbd_header.{number}'),
            f'rbd_object_map.{number}',
        ):
            self.ceph('rados', '-p', 'volumes', 'rm', left)
        self.assertIn(name, self.images())
        self.assertTrue(rbd_pool.remove_remains(current, name))
        self.assertNotIn(name, self.images())
