# SPDX-License-Identifier: Apache-2.0
"""A LUN of a real iSCSI target in user space."""

import os
import socket

import fixtures

from tests import block_target

USER, SECRET = 'backup', 'a-secret-of-chap'
TARGET = 'iqn.2026-01.example.lab:disk1'


class Tgtd(fixtures.Fixture):
    """LUN 1 of TARGET, for USER with SECRET.

    :ivar portal: host and port
    :ivar image: the file that it is
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        block_target.need()
        self._size = size

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.image = os.path.join(self.directory, 'image')
        with open(self.image, 'wb') as file:
            file.truncate(self._size)
        with socket.socket() as bound:
            bound.bind(('127.0.0.1', 0))
            self.portal = f'127.0.0.1:{bound.getsockname()[1]}'
        self._tgtd = block_target.Tgtd(self.directory, self.portal)
        self.useFixture(self._tgtd)
        self._make_target()

    def _make_target(self) -> None:
        one = ('--tid', '1')
        for mode, operation, *more in (
            ('account', 'new', '--user', USER, '--password', SECRET),
            ('target', 'new', *one, '--targetname', TARGET),
            ('logicalunit', 'new', *one, '--lun', '1', '-b', self.image),
            ('account', 'bind', *one, '--user', USER),
            ('target', 'bind', *one, '-I', 'ALL'),
        ):
            self._tgtd.tell(mode, operation, *more)

    def start(self) -> None:
        self._tgtd.start()
        self._make_target()

    def kill(self) -> None:
        self._tgtd.kill()

    def sessions(self) -> int:
        """How many initiators have logged in."""
        shown = self._tgtd.tell('conn', 'show', '--tid', '1')
        return shown.count('Session:')

    def properties(self, **other) -> dict:
        """As Cinder has them in connection_info."""
        return {
            'target_discovered': False,
            'target_portal': self.portal,
            'target_iqn': TARGET,
            'target_lun': 1,
            'volume_id': 'a-volume',
            'auth_method': 'CHAP',
            'auth_username': USER,
            'auth_password': SECRET,
            'access_mode': 'rw',
            'encrypted': False,
        } | other
