# SPDX-License-Identifier: Apache-2.0
"""Volumes in Ceph that Cinder exports to the proxy, in profile ceph.

Kind rbd is what one registers Ceph as. This one is what any back end can be
registered as, here with a storage that is not a device of the host's.
"""

import contextlib
import json
import os
import pathlib
import re
import tempfile
from typing import Any
import unittest

import fixtures

from tests.functional import base
from tests.functional import connector_case
from tests.functional import lab
from tests.functional import test_rbd

MIB = base.MIB
GIB = base.GIB
CHUNK = test_rbd.CHUNK


class CinderKey(fixtures.Fixture):
    """Lets the proxy read the keyring of Cinder's user, as os-brick does."""

    def __init__(self, keyring: pathlib.Path, user: int) -> None:
        super().__init__()
        self._keyring = keyring
        self._user = user

    def _setUp(self) -> None:
        before = self._keyring.stat()
        self.addCleanup(os.chown, self._keyring, -1, before.st_gid)
        self.addCleanup(self._keyring.chmod, before.st_mode & 0o777)
        os.chown(self._keyring, -1, self._user)
        self._keyring.chmod(0o640)


class TestRbdConnector(connector_case.ConnectorCase, test_rbd.RbdTestCase):
    BACK_END = 'rbd'
    PROTOCOL = 'rbd'
    user: int
    keyring: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        current = lab.current()
        if current.profile != 'ceph':
            raise unittest.SkipTest('the lab has no Ceph')
        # The storage of kind rbd is one that the configuration names, and
        # nobody changes it before it doesn't.
        helper = connector_case.Helper({'server': {'enabled_storages': ''}})
        helper.setUp()
        cls.addClassCleanup(helper.cleanUp)
        cls.user = (current.directory / 'state/ebackup').stat().st_uid
        cls.keyring = current.directory / 'etc/ceph/ceph.client.cinder.keyring'
        key = CinderKey(cls.keyring, cls.user)
        key.setUp()
        cls.addClassCleanup(key.cleanUp)

    def watchers(self, volume: str) -> list[Any]:
        """Whoever has the image of a volume open."""
        printed = self.lab.rbd(
            *('status', '--format', 'json', f'volume-{volume}')
        )
        return list(json.loads(printed)['watchers'])

    def attachments_of(self, volume: str) -> Any:
        answer = self.admin.block_storage.get(
            f'/attachments?volume_id={volume}&all_tenants=1'
        )
        return answer.json()['attachments']

    def files_of_brick(self) -> list[str]:
        """What os-brick has written keys into, for the lab's proxy."""
        found = []
        for path in pathlib.Path(tempfile.gettempdir()).glob('brickrbd_*'):
            # Those of Cinder, here and in other labs, come and go.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_uid == self.user:
                    found.append(path.name)
        return found

    def assert_nothing_left(self, volume: str, times: int) -> None:
        self.assert_attached(times)
        # Cinder itself may still be closing it.
        self.wait_for(
            lambda: not self.watchers(volume), f'nobody has {volume} open'
        )
        self.assertEqual([], self.files_of_brick())

    def test_all_that_cinder_hands_over(self) -> None:
        volume = self.create_volume()
        self.write(volume, 0, self.random.randbytes(12 * MIB))
        self.write(volume, GIB - 9, self.random.randbytes(9))
        first = self.backup(volume)
        digests = {first: self.sha256(volume)}
        # Nobody says what is allocated, or what has changed.
        self.assertEqual(GIB, self.result(first)['bytes_read'])
        self.assert_nothing_left(volume, 1)

        self.change(volume)
        second = self.backup(volume)
        digests[second] = self.sha256(volume)
        result = self.result(second)
        self.assertEqual('incremental', result['kind'])
        self.assertEqual(
            (GIB, 1), (result['bytes_read'], result['chunks_stored'])
        )

        snapshot = self.create_snapshot(volume)
        self.change(volume, 101 * MIB)
        of_snapshot = self.backup(volume, snapshot_id=snapshot)
        digests[of_snapshot] = digests[second]
        self.assertEqual(0, self.result(of_snapshot)['chunks_stored'])

        digest = self.sha256(volume)
        attachment = self.use_volume(volume)
        before = self.attachments_of(volume)
        in_use = self.backup(volume, force=True)
        digests[in_use] = digest
        self.assertEqual(before, self.attachments_of(volume))
        self.release_volume(volume, attachment)
        self.assertEqual([], self.attachments_of(volume))
        self.assert_nothing_left(volume, 4)
        # Cinder itself leaves a snapshot, of which it has made its clone.
        self.assertEqual([], self.anchors(volume))

        self.assert_restored(in_use, digest)
        for backup in first, of_snapshot:
            self.restore(backup, volume)
            self.assertEqual(digests[backup], self.sha256(volume))
        self.assert_nothing_left(volume, 7)
        self.assertEqual([], self.attachments_of(volume))

        [key] = re.findall(r'key = (\S+)', self.keyring.read_text())
        self.assert_nowhere(key)

    def test_encrypted_volume(self) -> None:
        """It has the header of LUKS besides what Cinder says."""
        kind = 'rbd-encrypted'
        volume = self.create_volume(volume_type=kind)
        size = self.size_of(volume)
        self.assertGreater(size, GIB)
        self.fill(volume)
        self.write(volume, size - 9, self.random.randbytes(9))
        digest = self.sha256(volume)
        backup = self.backup(volume)
        self.assertEqual(size, self.result(backup)['bytes_read'])
        other = self.create_volume(volume_type=kind)
        self.restore(backup, other)
        self.assertEqual(digest, self.sha256(other))
        self.change(volume)
        self.restore(backup, volume)
        self.assertEqual(digest, self.sha256(volume))
        self.assert_nothing_left(volume, 3)
