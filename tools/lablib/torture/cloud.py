# SPDX-License-Identifier: Apache-2.0
"""What a tenant and an operator ask of APIs that may be away for a while."""

from collections.abc import Callable
import http.client
import threading
import time
from typing import Any
import uuid

from lablib import lab as lab_module
from lablib import rest

PREFIX = 'torture-'
# Seconds between two looks.
_PAUSE = 0.3
# Seconds for which an answer is waited for; services are away for less.
_OUTAGE = 90.0


class Violation(Exception):
    """Something that must not happen did; the message names what."""


class Interrupted(Exception):
    """Nobody waits for this thread any more."""


def unique(name: str) -> str:
    return f'{PREFIX}{name}-{uuid.uuid4().hex[:8]}'


class Cloud:
    """Threads may share it.

    stop: once set, whoever waits ends by Interrupted
    """

    def __init__(self, lab: lab_module.Lab) -> None:
        self.lab = lab
        self.stop = threading.Event()

    def demo(self, method: str, path: str, body: object = None) -> Any:
        """Ask Cinder as a tenant, once."""
        return rest.client(self.lab, 'demo').call('cinder', method, path, body)

    def ask(
        self,
        path: str,
        body: object = None,
        method: str | None = None,
        service: str = 'cinder',
    ) -> Any:
        """Ask as an operator what may be asked again, until it is answered.

        Raises rest.Failure for answers of 400 to 499.
        """
        method = method or ('GET' if body is None else 'POST')
        deadline = time.monotonic() + _OUTAGE
        while True:
            try:
                return rest.client(self.lab).call(service, method, path, body)
            except rest.Failure as failure:
                if failure.code < 500:
                    raise
                error: Exception = failure
            except (OSError, http.client.HTTPException) as failure:
                error = failure
            if time.monotonic() > deadline:
                raise Violation(
                    f'{service} did not answer {path} in {_OUTAGE:.0f} s: '
                    f'{error}'
                )
            self.pause()

    def show(self, kind: str, resource: str) -> dict[str, Any] | None:
        """Return a volume, backup or snapshot of Cinder; None: it is gone."""
        try:
            answer = self.ask(f'/v3/{kind}s/{resource}')
        except rest.Failure as failure:
            if failure.code != 404:
                raise
            return None
        return answer[kind]

    def status(self, kind: str, resource: str) -> str | None:
        found = self.show(kind, resource)
        return None if found is None else found['status']

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Return all of Cinder's backups, volumes, snapshots, attachments."""
        detail = '' if kind == 'attachment' else '/detail'
        path = f'/v3/{kind}s{detail}?all_tenants=1'
        return self.ask(path)[f'{kind}s']

    def remove(self, kind: str, resource: str) -> None:
        """Ask for a deletion; what is gone, or going, is left alone."""
        try:
            self.ask(f'/v3/{kind}s/{resource}', method='DELETE')
        except rest.Failure as failure:
            if failure.code != 404:
                raise

    def create_volume(self, name: str, kind: str) -> str:
        """Return the id of a volume of 1 GiB that is being made."""
        wanted = {'name': unique(name), 'size': 1, 'volume_type': kind}
        answer = self.demo('POST', '/v3/volumes', {'volume': wanted})
        return answer['volume']['id']

    def force_delete(self, kind: str, resource: str) -> None:
        """Delete a volume, snapshot or backup in whatever status it is.

        What is gone is left alone.
        """
        path = f'/v3/{kind}s/{resource}/action'
        try:
            if kind != 'backup':
                reset = {'status': 'error'}
                if kind == 'volume':
                    reset |= {'attach_status': 'detached'}
                self.ask(path, {'os-reset_status': reset})
            self.ask(path, {'os-force_delete': {}})
        except rest.Failure as failure:
            if failure.code != 404:
                raise
        self.wait(
            lambda: self.status(kind, resource) is None,
            f'{kind} {resource}, deleted by force, is gone',
            _OUTAGE,
        )

    def job(self, job_id: str) -> dict[str, Any]:
        return self.ask(f'/v1/jobs/{job_id}', service='ebackup')['job']

    def jobs(self, query: str) -> list[dict[str, Any]]:
        """Return eBackup's jobs, newest first."""
        return self.ask(f'/v1/jobs?{query}', service='ebackup')['jobs']

    def unfinished(self) -> list[dict[str, Any]]:
        return [
            job
            for state in ('pending', 'running')
            for job in self.jobs(f'state={state}')
        ]

    def pause(self) -> None:
        if self.stop.wait(_PAUSE):
            raise Interrupted

    def wait(
        self, condition: Callable[[], Any], what: str, seconds: float
    ) -> Any:
        """Return the condition's value once it is true."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise Violation(f'after {seconds:.0f} s still not: {what}')
            self.pause()
