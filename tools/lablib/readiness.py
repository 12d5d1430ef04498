# SPDX-License-Identifier: Apache-2.0
"""How one knows that a service is up.

Each function returns a check. It is called with the lab, the time (in seconds
since the epoch) at which the service was started, and whether a check has
succeeded since; it may have to be called more than once to see that it does.
"""

from collections.abc import Callable
import contextlib
import datetime
import json
import os
import socket
from typing import Any

from lablib import configuration
from lablib import lab as lab_module
from lablib import process
from lablib import rest

Check = Callable[[lab_module.Lab, float, bool], bool]


def answers(service: str, path: str) -> Check:
    """Something answers at this path of the service's API."""
    return lambda lab, started, proven: rest.answers(lab.url(service, path))


def listens(port: str) -> Check:
    return speaks(port, b'', None)


def speaks(port: str, question: bytes, answer: bytes | None) -> Check:
    """It accepts connections and answers; None: need not say anything."""

    def check(lab: lab_module.Lab, started: float, proven: bool) -> bool:
        try:
            with socket.create_connection(
                ('127.0.0.1', lab.port(port)), timeout=2
            ) as connection:
                if answer is None:
                    return True
                connection.sendall(question)
                received = connection.recv(64)
                return bool(received) and received.startswith(answer)
        except OSError:
            return False

    return check


def ceph_daemon(name: str, command: str, state: str | None) -> Check:
    """A daemon of Ceph's says, on its socket, that it is in this state.

    None: it need not say any.
    """

    def check(lab: lab_module.Lab, started: float, proven: bool) -> bool:
        try:
            answer = _ask(lab, name, command)
        except (OSError, ValueError):
            return False
        return state is None or answer.get('state') == state

    return check


def _ask(lab: lab_module.Lab, daemon: str, command: str) -> dict[str, Any]:
    """Return what a daemon of Ceph's answers to a command.

    What is sent ends with a zero byte; what comes begins with its length.
    """
    with contextlib.ExitStack() as stack:
        # The name of a socket can't be longer than some hundred characters.
        directory = os.open(lab.run, os.O_PATH)
        stack.callback(os.close, directory)
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.settimeout(5)
        connection.connect(f'/proc/self/fd/{directory}/{daemon}.asok')
        connection.sendall(json.dumps({'prefix': command}).encode() + b'\0')
        answer = stack.enter_context(connection.makefile('rb'))
        return json.loads(answer.read(int.from_bytes(answer.read(4))))


def all_of(*checks: Check) -> Check:
    return lambda *arguments: all(check(*arguments) for check in checks)


def cinder_reports(binary: str | None = None) -> Check:
    """Cinder's services (of this binary) have reported since the start."""
    first: dict[tuple[str, str], str] = {}

    def reported(entry: dict[str, str], started: float, proven: bool) -> bool:
        updated = entry['updated_at']
        if entry['state'] != 'up' or not _since(updated, started):
            return False
        if proven:
            return True
        # The first sign of life comes from its constructor, long before it
        # has cleaned up and serves; the second one when it does.
        return first.setdefault(_key(entry), updated) != updated

    def check(lab: lab_module.Lab, started: float, proven: bool) -> bool:
        types = configuration.volume_types(lab)
        wanted = {
            ('cinder-scheduler', configuration.HOST),
            ('cinder-backup', configuration.HOST),
            *(('cinder-volume', f'{configuration.HOST}@{t}') for t in types),
        }
        if binary is not None:
            wanted = {entry for entry in wanted if entry[0] == binary}
        try:
            listed = rest.client(lab).get('cinder', '/v3/os-services')
        except (OSError, rest.Failure):
            return False
        # All are looked at each time, so that none waits for another.
        return wanted <= {
            _key(entry)
            for entry in listed['services']
            if reported(entry, started, proven)
        }

    return check


def cinder_schedules(*parts: str) -> Check:
    """The scheduler has heard of every back end for volumes.

    One that starts when there is no scheduler yet is not heard, and repeats
    itself. Without all of the services that are named there is nothing to
    wait for.
    """

    def check(lab: lab_module.Lab, started: float, proven: bool) -> bool:
        running = [process.Process(lab.run, name).pid for name in parts]
        if proven or None in running:
            return True
        path = '/v3/scheduler-stats/get_pools'
        try:
            pools = rest.client(lab).get('cinder', path)['pools']
        except (OSError, rest.Failure):
            return False
        known = {pool['name'].partition('#')[0] for pool in pools}
        types = configuration.volume_types(lab)
        return {f'{configuration.HOST}@{name}' for name in types} <= known

    return check


def _key(entry: dict[str, str]) -> tuple[str, str]:
    return entry['binary'], entry['host']


def ebackup_works(proxy: str) -> Check:
    """The server has heard of the proxy since the start.

    Without a proxy (the service that holds it is named) nothing can be seen
    of the server; the API has to do then.
    """
    host = configuration.PROXIES.get(proxy, configuration.HOST)

    def check(lab: lab_module.Lab, started: float, proven: bool) -> bool:
        if process.Process(lab.run, proxy).pid is None:
            return rest.answers(lab.url('ebackup', '/healthcheck'))
        try:
            client = rest.client(lab)
            listed = client.get('ebackup', '/v1/proxies')['proxies']
        except (OSError, rest.Failure):
            return False
        return any(
            entry['host'] == host
            and entry['alive']
            and _since(entry['announced_at'], started)
            for entry in listed
        )

    return check


def _since(text: str | None, started: float) -> bool:
    """Tell whether an instant in ISO 8601, in UTC, is not before another."""
    if not text:
        return False
    instant = datetime.datetime.fromisoformat(text)
    # Cinder's have no zone.
    return instant.replace(tzinfo=datetime.UTC).timestamp() >= started
