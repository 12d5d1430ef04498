# SPDX-License-Identifier: Apache-2.0
"""Takes services of the lab away and brings them back."""

from collections.abc import Callable
from collections.abc import Collection
import functools
import os
import signal
import time
from typing import Any

from lablib import configuration
from lablib import console
from lablib import lab as lab_module
from lablib import lifecycle
from lablib import service as service_module
from lablib.torture import cloud as cloud_module
from lablib.torture import plan
from lablib.torture import pool as pool_module

# Seconds in which services that were not touched are well again.
_RECOVERY = 90.0
# Seconds in which a proxy begins a job of a round, if it gets one.
_BEGUN = 10.0
# Seconds in which a proxy that stood still, and would not look at the time,
# would have written.
_AWAKE = 3.0
# Seconds in which a volume is made when no message gets lost.
_DELIVERY = 8.0


class Controller:
    """notes: what services did that is Cinder's affair, not ours."""

    def __init__(
        self,
        lab: lab_module.Lab,
        cloud: cloud_module.Cloud,
        pool: pool_module.Pool | None,
    ) -> None:
        self.notes: list[str] = []
        self._lab = lab
        self._cloud = cloud
        self._pool = pool

    def inject(
        self,
        fault: plan.Fault,
        met: Collection[str],
        over: Callable[[], bool],
    ) -> None:
        """Let a fault happen, and return when everything runs again.

        :param met: the volumes with which something is being done
        :param over: tells whether that has ended
        """
        if fault.verb == 'pause' and fault.subject in configuration.PROXIES:
            self._has_begun(configuration.PROXIES[fault.subject], over)
        time.sleep(fault.after)
        match fault.verb:
            case 'remove' | 'replace':
                assert self._pool is not None
                self._pool.take_away(met, fault.verb == 'replace')
                return
            case 'pause':
                self._pause(fault.subject, fault.away)
            case _:
                end = (
                    lifecycle.kill if fault.verb == 'kill' else lifecycle.stop
                )
                end(self._lab, fault.subject)
                time.sleep(fault.away)
                self._start(fault.subject)
        self.recovered()
        if fault.subject == 'rabbitmq':
            for kind in configuration.volume_types(self._lab):
                self._messages_arrive(kind)

    def restart_cinder_backup(self) -> None:
        separate = self._lab.settings.separate
        service = 'cinder-backup' if separate else 'cinder'
        lifecycle.stop(self._lab, service)
        self._start(service)
        self.recovered()

    def recovered(self) -> None:
        """Wait until all services are well; none of ours may have ended."""
        for service in service_module.services(self._lab):
            name = service.name
            if lifecycle.process_of(self._lab, service).pid is None:
                log = self._lab.log / f'{name}.log'
                if name.startswith('ebackup'):
                    raise cloud_module.Violation(
                        f'{name} has ended by itself, see {log}'
                    )
                self.notes.append(f'{name} had ended by itself')
                self._start(name)
            ready = functools.partial(lifecycle.is_ready, self._lab, service)
            self._cloud.wait(ready, f'{name} is well', _RECOVERY)

    def _has_begun(self, host: str, over: Callable[[], bool]) -> None:
        """Wait until a proxy reads or writes for a job, if it does."""

        def does(job: dict[str, Any]) -> bool:
            if job['kind'] == 'gc' or job['proxy'] != host:
                return False  # collections come by themselves
            return job['runs'] > 0 and job['needs'] is None

        deadline = time.monotonic() + _BEGUN
        while time.monotonic() < deadline and not over():
            if any(map(does, self._cloud.jobs('state=running'))):
                break
            time.sleep(0.05)

    def _pause(self, name: str, seconds: float) -> None:
        """Let a service neither end nor answer for a while."""
        [service] = [
            one
            for one in service_module.services(self._lab)
            if one.name == name
        ]
        pid = lifecycle.process_of(self._lab, service).pid
        if pid is None:
            return  # recovered() tells
        os.killpg(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.killpg(pid, signal.SIGCONT)
        if name in configuration.PROXIES:
            time.sleep(_AWAKE)

    def _messages_arrive(self, kind: str) -> None:
        """Make volumes until Cinder's parts have all found the bus again.

        Cinder loses what it says before, and waits for ever in a restore
        whose new volume it so never gets.
        """
        deadline = time.monotonic() + _RECOVERY
        while time.monotonic() < deadline:
            volume = self._cloud.create_volume('trial', kind)
            until = time.monotonic() + _DELIVERY
            while self._cloud.status('volume', volume) == 'creating':
                if time.monotonic() > until:
                    break
                self._cloud.pause()
            made = self._cloud.status('volume', volume) == 'available'
            self._cloud.force_delete('volume', volume)
            if made:
                return
        raise cloud_module.Violation(
            f'after {_RECOVERY:.0f} s Cinder still makes no volume of type '
            f'{kind}, see {self._lab.log}/cinder-*.log'
        )

    def _start(self, name: str) -> None:
        try:
            lifecycle.start(self._lab, name)
        except console.Problem as problem:
            raise cloud_module.Violation(str(problem)) from None
