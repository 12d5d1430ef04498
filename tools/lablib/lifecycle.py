# SPDX-License-Identifier: Apache-2.0
"""Bring a lab up, down, and away; and its services one by one."""

from collections.abc import Iterable
import contextlib
import hashlib
import shutil
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
    for service in service_module.services(lab):
        if not _is_well(lab, service):
            _start(lab, service)
    console.say(f'lab is up after {time.monotonic() - started:.0f} s')


def _prepare(lab: lab_module.Lab) -> None:
    configuration.write(lab)
    setup.directories(lab)
    volumes.prepare(lab)


def down(lab: lab_module.Lab) -> None:
    """Stop all services, the last one first; the data stay."""
    for service in reversed(service_module.services(lab)):
        _stop(lab, service)


def destroy(lab: lab_module.Lab) -> None:
    """Remove the lab with everything in it."""
    if not lab.exists:
        if lab.directory.exists() and any(lab.directory.iterdir()):
            raise console.Problem(
                f'{lab.directory} holds something, but no lab; it is left '
                'as it is'
            )
        lab.directory.rmdir()
        return
    # By what was recorded: no service of ours may be left out.
    for path in sorted(lab.run.glob('*.json')):
        one = process.Process(lab.run, path.stem)
        if one.pid is not None:
            with console.step(f'stopping {one.name}'):
                one.stop(patience=5)
        one.kill()
    with console.step(f'removing {lab.directory}'):
        volumes.release(lab)
        # The file that says that this is a lab goes last.
        for path in sorted(lab.directory.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != 'lab.json':
                path.unlink()
        shutil.rmtree(lab.directory)


def start(lab: lab_module.Lab, name: str) -> None:
    service = _named(lab, name)
    software.copy(lab)
    _prepare(lab)
    if process_of(lab, service).pid is None:
        _start(lab, service)


def stop(lab: lab_module.Lab, name: str) -> None:
    _stop(lab, _named(lab, name))


def restart(lab: lab_module.Lab, name: str) -> None:
    stop(lab, name)
    start(lab, name)


def kill(lab: lab_module.Lab, name: str) -> None:
    """End a service as a power cut would: SIGKILL, with what it started."""
    process_of(lab, _named(lab, name)).kill()


def process_of(lab: lab_module.Lab, service: Service) -> process.Process:
    return process.Process(lab.run, service.name)


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
    if service.ours:
        digest.update(software.code_digest(lab).encode())
    return digest.hexdigest()


def _is_well(lab: lab_module.Lab, service: Service) -> bool:
    one = process_of(lab, service)
    record = one.record
    if one.pid is None or record is None:
        return False
    if record['fingerprint'] != _fingerprint(lab, service):
        console.say(f'  {service.name} is out of date')
        return False
    if not _finished(lab, service):
        return False
    deadline = time.monotonic() + _HEALTH_TIMEOUT
    while time.monotonic() < deadline and one.pid is not None:
        if service.ready(lab, record['started']):
            return True
        time.sleep(0.2)
    console.say(f'  {service.name} does not answer')
    return False


def _finished(lab: lab_module.Lab, service: Service) -> bool:
    """Tell whether what is done after its first start has been done."""
    return lab.done(f'{service.name}-after') or not setup.after(
        lab, service.name
    )


def _start(lab: lab_module.Lab, service: Service) -> None:
    one = process_of(lab, service)
    if one.pid is not None:
        _stop(lab, service)
    one.kill()  # what a process that died may have left running
    _go_through(lab, f'{service.name}-before', setup.before(lab, service.name))
    with console.step(f'starting {service.name}'):
        log = lab.log / f'{service.name}.log'
        fingerprint = _fingerprint(lab, service)
        one.start(
            service.command,
            service.environment,
            lab.directory,
            log,
            fingerprint,
        )
        record = one.record
        assert record is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while not service.ready(lab, record['started']):
            if one.pid is None:
                raise console.Problem(_why(service, 'ended', log))
            if time.monotonic() > deadline:
                raise console.Problem(_why(service, 'does not answer', log))
            time.sleep(0.1)
    _go_through(lab, f'{service.name}-after', setup.after(lab, service.name))


def _go_through(
    lab: lab_module.Lab, stage: str, what: tuple[str, setup.Work] | None
) -> None:
    if what is not None and not lab.done(stage):
        name, work = what
        with console.step(name):
            work()
        lab.mark_done(stage)


def _stop(lab: lab_module.Lab, service: Service) -> None:
    one = process_of(lab, service)
    if one.pid is None:
        one.kill()
        return
    with console.step(f'stopping {service.name}'):
        if not one.stop(service.patience):
            console.say(f'(killed after {service.patience:.0f} s)')


def _why(service: Service, what: str, log: object) -> str:
    lines: Iterable[str] = ()
    with contextlib.suppress(OSError), open(str(log)) as file:
        lines = file.readlines()[-15:]
    return f'{service.name} {what}; the end of {log}:\n{"".join(lines)}'
