# SPDX-License-Identifier: Apache-2.0
"""How one knows that a service is up.

Each function returns a check, which is called with the lab and the time (in
seconds since the epoch) at which the service was started.
"""

from collections.abc import Callable
import datetime
import socket

from lablib import configuration
from lablib import lab as lab_module
from lablib import rest

Check = Callable[[lab_module.Lab, float], bool]


def answers(service: str, path: str) -> Check:
    """Something answers at this path of the service's API."""
    return lambda lab, started: rest.answers(lab.url(service, path))


def listens(port: str) -> Check:
    return speaks(port, b'', None)


def speaks(port: str, question: bytes, answer: bytes | None) -> Check:
    """It accepts connections and answers; None: need not say anything."""

    def check(lab: lab_module.Lab, started: float) -> bool:
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


def all_of(*checks: Check) -> Check:
    return lambda lab, started: all(c(lab, started) for c in checks)


def cinder_reports(binary: str | None = None) -> Check:
    """Cinder's services (of this binary) have reported since the start."""

    def check(lab: lab_module.Lab, started: float) -> bool:
        types = configuration.volume_types(lab)
        wanted = {
            ('cinder-scheduler', configuration.HOST),
            ('cinder-backup', configuration.HOST),
            *(('cinder-volume', f'{configuration.HOST}@{t}') for t in types),
        }
        if binary is not None:
            wanted = {entry for entry in wanted if entry[0] == binary}
        try:
            listed = rest.Client(lab).get('cinder', '/v3/os-services')
        except (OSError, rest.Failure):
            return False
        there = {
            (entry['binary'], entry['host'])
            for entry in listed['services']
            if entry['state'] == 'up' and _since(entry, started)
        }
        return wanted <= there

    return check


def _since(entry: dict[str, str], started: float) -> bool:
    if not entry['updated_at']:
        return False
    updated = datetime.datetime.fromisoformat(entry['updated_at'])
    # Without a zone, in UTC, and rounded down.
    updated = updated.replace(tzinfo=datetime.UTC)
    return updated.timestamp() >= started - 1


def ebackup_ready() -> Check:
    """The server answers through the API, and knows the proxy."""

    def check(lab: lab_module.Lab, started: float) -> bool:
        try:
            client = rest.Client(lab)
            proxies = client.get('ebackup', '/v1/proxies')['proxies']
        except (OSError, rest.Failure):
            return False
        return any(p['host'] == configuration.HOST for p in proxies)

    return check
