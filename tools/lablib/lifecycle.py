# SPDX-License-Identifier: Apache-2.0
"""Bring a lab up, down, and away; and its services one by one."""

from collections.abc import Callable
import functools
import hashlib
import pathlib
import time

from lablib import configuration
from lablib import console
from lablib import lab as lab_module
from lablib import process
from lablib import service as service_module
from lablib import setup
from lablib import software
from lablib import system
from lablib import volumes

# Seconds; on a machine with other things to do, a start takes its time.
_START_TIMEOUT = 180
# Longest that a running service is given to show that it is well.
_HEALTH_TIMEOUT = 20

Service = service_module.Service


def up(
    lab: lab_module.Lab,
    profile: str,
    base_port: int | None,
    backup_threading: str | None,
) -> None:
    """Make, start or repair whatever is not as it should be."""
    system.check(profile)
    if lab.is_being_removed:
        _clear(lab)
    started = time.monotonic()
    lab.create(profile, base_port, backup_threading)
    console.say(f'lab {lab.directory} ({lab.settings.profile})')
    if not system.is_root():
        console.say(
            '  not root: volumes are attached as plain files only (back end '
            '"file"), and the eBackup service runs as you'
        )
    software.install(lab)
    _prepare(lab)
    for wave in service_module.waves(lab):
        _start(lab, [s for s in wave if not _is_well(lab, s)])
        _go_through(lab, 'after', setup.after, wave)
    console.say(f'lab is up after {time.monotonic() - started:.0f} s')


def _prepare(lab: lab_module.Lab) -> None:
    configuration.write(lab)
    setup.directories(lab)
    volumes.prepare(lab)


def down(lab: lab_module.Lab) -> None:
    """Stop all services, those that need others first; the data stay."""
    for wave in reversed(service_module.waves(lab)):
        _stop(lab, wave)


def destroy(lab: lab_module.Lab) -> None:
    """Remove the lab with everything in it."""
    if not lab.exists:
        if lab.directory.exists():
            lab.abandon()
            lab.directory.rmdir()
        return
    _clear(lab)
    lab.directory.rmdir()


def _clear(lab: lab_module.Lab) -> None:
    down(lab)
    with console.step(f'removing {lab.directory}'):
        volumes.release(lab)
        lab.clear()


def start(lab: lab_module.Lab, name: str) -> None:
    service = _named(lab, name)
    software.copy(lab)
    _prepare(lab)
    if process_of(lab, service).pid is None:
        _start(lab, [service])


def stop(lab: lab_module.Lab, name: str) -> None:
    _stop(lab, [_named(lab, name)])


def restart(lab: lab_module.Lab, name: str) -> None:
    stop(lab, name)
    start(lab, name)


def kill(lab: lab_module.Lab, name: str) -> None:
    """End a service as a power cut would: SIGKILL, with what it started."""
    process_of(lab, _named(lab, name)).kill()


def process_of(lab: lab_module.Lab, service: Service) -> process.Process:
    return process.Process(lab.run, service.name)


def is_ready(lab: lab_module.Lab, service: Service) -> bool:
    """Tell whether a service that runs does what it is there for."""
    one = process_of(lab, service)
    record = one.record
    if record is None:
        return False
    ready = service.ready(lab, record['started'], record.get('proven', False))
    if ready:
        one.prove()
    return ready


def _named(lab: lab_module.Lab, name: str) -> Service:
    known = {s.name: s for s in service_module.services(lab)}
    if name not in known:
        raise console.Problem(
            f'there is no service {name}; there are {", ".join(known)}'
        )
    return known[name]


def _fingerprint(lab: lab_module.Lab, service: Service) -> str:
    """Return what changes when a running service is not what it should be."""
    digest = hashlib.sha256(repr(service.command).encode())
    digest.update(repr(sorted(service.environment.items())).encode())
    for path in service.files:
        digest.update(path.read_bytes())
    if service.code is not None:
        digest.update(software.digest(lab, service.code).encode())
    return digest.hexdigest()


def _is_well(lab: lab_module.Lab, service: Service) -> bool:
    one = process_of(lab, service)
    record = one.record
    if one.pid is None or record is None:
        return False
    if record['fingerprint'] != _fingerprint(lab, service):
        console.say(f'  {service.name} is out of date')
        return False
    deadline = time.monotonic() + _HEALTH_TIMEOUT
    while time.monotonic() < deadline and one.pid is not None:
        if is_ready(lab, service):
            return True
        time.sleep(0.2)
    console.say(f'  {service.name} does not answer')
    return False


def _start(lab: lab_module.Lab, services: list[Service]) -> None:
    """Start services that do not wait for each other."""
    _stop(lab, services)
    _go_through(lab, 'before', setup.before, services)
    for service in services:
        process_of(lab, service).start(
            service.command,
            service.environment,
            lab.directory,
            _log(lab, service),
            _fingerprint(lab, service),
        )
    console.together(
        [
            (f'starting {s.name}', functools.partial(_wait, lab, s))
            for s in services
        ]
    )


def _wait(lab: lab_module.Lab, service: Service) -> None:
    one = process_of(lab, service)
    deadline = time.monotonic() + _START_TIMEOUT
    while not is_ready(lab, service):
        if one.pid is None:
            raise console.Problem(_why(lab, service, 'ended'))
        if time.monotonic() > deadline:
            raise console.Problem(_why(lab, service, 'does not answer'))
        time.sleep(0.2)


def _go_through(
    lab: lab_module.Lab,
    stage: str,
    find: Callable[[lab_module.Lab, str], tuple[str, setup.Work] | None],
    services: list[Service],
) -> None:
    """Do what is done once, before or after a service starts first."""

    def once(done: str, work: setup.Work) -> None:
        work()
        lab.mark_done(done)

    works = []
    for service in services:
        done = f'{service.name}-{stage}'
        found = find(lab, service.name)
        if found is not None and not lab.done(done):
            name, work = found
            works.append((name, functools.partial(once, done, work)))
    console.together(works)


def _stop(lab: lab_module.Lab, services: list[Service]) -> None:
    def end(service: Service) -> None:
        if not process_of(lab, service).stop(service.patience):
            console.say(f'  {service.name} had to be killed')

    running = [s for s in services if process_of(lab, s).pid is not None]
    console.together(
        [(f'stopping {s.name}', functools.partial(end, s)) for s in running]
    )
    for service in services:
        # What a process that died may have left running.
        process_of(lab, service).kill()


def _log(lab: lab_module.Lab, service: Service) -> pathlib.Path:
    return lab.log / f'{service.name}.log'


def _why(lab: lab_module.Lab, service: Service, what: str) -> str:
    log = _log(lab, service)
    lines = log.read_text(errors='replace').splitlines()[-15:]
    end = '\n'.join(lines)
    return f'{service.name} {what}; the end of {log}:\n{end}'
