# SPDX-License-Identifier: Apache-2.0
"""What the tests share that take services away in the middle."""

from collections.abc import Callable
import contextlib
import json
import os
import signal
from typing import Any

from oslo_config import cfg

from ebackup_service import conf as service_conf
from ebackup_service.server import leases
from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
# A volume of 1 GiB takes more than half a minute.
SLOW = 32 * MIB


class FaultTestCase(ebackup_case.EBackupTestCase):
    """Has a volume with some data."""

    def setUp(self) -> None:
        super().setUp()
        # All of a block device is read, of a plain file not even the holes.
        self.volume = self.create_volume(volume_type='block')
        self.write(self.volume, 0, os.urandom(8 * MIB))
        self.digest = self.sha256(self.volume)

    def slow(self) -> None:
        self._throttle = self.useFixture(ebackup_case.Throttle(self.lab, SLOW))

    def all_up_at_full_speed(self) -> None:
        """Start what does not run, and let nothing be slow any more."""
        self._throttle.lift()
        self.lab.run('up')

    def end(self, verb: str, service: str) -> None:
        """Stop or kill a service, until the test is over at the latest."""
        self.addCleanup(self.lab.run, 'up')
        self.lab.run(verb, self.lab.service(service))

    def process(self, service: str) -> int:
        """Return the id of the process that leads the service's group."""
        name = self.lab.service(service)
        record = self.lab.directory / 'run' / f'{name}.json'
        return json.loads(record.read_text())['pid']

    def freeze(self, service: str) -> Callable[[], None]:
        """Let a service hang; return what lets it go on."""
        group = self.process(service)

        def thaw() -> None:
            # another one may have replaced it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

        self.addCleanup(thaw)
        os.killpg(group, signal.SIGSTOP)
        return thaw

    def wait_for_volume(self, *wanted: str, volume: str | None = None) -> Any:
        fetch = self.demo.block_storage.get_volume
        return self.wait_for_status(fetch, volume or self.volume, *wanted)

    def configuration(self) -> cfg.ConfigOpts:
        """Return the options of the lab's API and server."""
        etc = self.lab.directory / 'etc'
        files = [etc / 'ebackup.conf', *sorted(etc.glob('ebackup.d/*.conf'))]
        return service_conf.new([str(file) for file in files])

    def heartbeat_limit(self) -> float:
        """Seconds within which a job stops whose driver beats no more.

        By the lab's configuration: the proxy stops at the end of the last
        beat, and reports; the server gives up a margin and a tick later. A
        busy machine may take a few seconds more.
        """
        server = self.configuration().server
        return server.heartbeat_timeout + leases.MARGIN + server.tick + 5

    def resume_limit(self) -> float:
        """The same, until it has ended."""
        server = self.configuration().server
        return server.resume_timeout + server.tick + 5

    def next_backup_is_right(self) -> str:
        """Back the volume up again, restore, compare; return the backup."""
        backup = self.backup(self.volume)
        self.assertEqual(self.digest, self.sha256(self.restore(backup)))
        return backup
