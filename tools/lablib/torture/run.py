# SPDX-License-Identifier: Apache-2.0
"""The rounds, and what is told about them."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import json
import secrets
import signal
import sys
import threading
import time

from lablib import configuration
from lablib import console
from lablib import lab as lab_module
from lablib import lifecycle
from lablib import rest
from lablib.torture import closing
from lablib.torture import cloud as cloud_module
from lablib.torture import exports as exports_module
from lablib.torture import faults
from lablib.torture import model as model_module
from lablib.torture import operation as operation_module
from lablib.torture import operations
from lablib.torture import plan
from lablib.torture import pool as pool_module
from lablib.torture import tally as tally_module
from lablib import volumes

# Jobs take some seconds, and what is lost is missed soon.
_OPTIONS = """\
[proxy]
max_bytes_per_second = 419430400
workers = {workers}
# For so many, also where they read images in Ceph.
memory = 335544320
checkpoint_size = {checkpoint_size}
shutdown_timeout = 1
announce_interval = 1
{exports}

[server]
lease = 6
proxy_timeout = 6
resume_timeout = 20
gc_interval = 15
"""
# Of each volume of a run the back end, by its place among the lab's.
_VOLUMES = {'processes': (0, -1, 0, 0), 'ceph': (0, 0, 0, -1)}

Violation = cloud_module.Violation


class Torture:
    def __init__(
        self,
        lab: lab_module.Lab,
        rounds: int,
        seed: int,
        say: Callable[[str], None],
        exports: exports_module.Exports | None,
    ) -> None:
        self.tally = tally_module.Tally(seed, rounds)
        self._lab = lab
        self._say = say
        self._cloud = cloud_module.Cloud(lab)
        self._pool = (
            pool_module.Pool(self._cloud, seed) if lab.settings.ceph else None
        )
        self._exports = exports
        self._controller = faults.Controller(lab, self._cloud, self._pool)
        self._model = model_module.Model()
        # Bytes of the repository, and what else Cinder has, at the beginning.
        self._empty = 0
        self._others: set[str] = set()

    def run(self) -> None:
        """Go through all rounds, up to the first violation."""
        where = 'before the first round'
        try:
            self._prepare()
            for number in range(1, self.tally.wanted + 1):
                where = f'in round {number}'
                profile = self._lab.settings.profile
                self._round(plan.choose(self.tally.seed, number, profile))
            where = 'after all rounds'
            self._close()
        except (Violation, rest.Failure, OSError) as error:
            self.tally.violations.append(f'{where}: {error}')
            self._say(f'VIOLATION {where}: {error}')
        finally:
            self._cloud.stop.set()
            self.tally.notes += self._controller.notes
            if self._pool is not None:
                self.tally.notes += self._pool.notes

    def _prepare(self) -> None:
        """Remove what an earlier run has left; make the volumes."""
        for kind in 'backup', 'snapshot', 'volume':
            for one in self._cloud.listed(kind):
                if (one['name'] or '').startswith(cloud_module.PREFIX):
                    self._tidy(kind, one['id'])
        if self._pool is not None:
            self._pool.prepare()
        for kind in 'backup', 'snapshot', 'volume', 'attachment':
            self._others |= {one['id'] for one in self._cloud.listed(kind)}
        closing.run_job(self._cloud, 'collect', None)
        self._empty = closing.used(self._cloud)
        types = configuration.volume_types(self._lab)
        for place in _VOLUMES[self._lab.settings.profile]:
            self._model.volumes.append(self._volume(types[place]))

    def _volume(self, kind: str) -> model_module.Volume:
        made = self._cloud.create_volume('volume', kind)
        self._cloud.wait(
            lambda: self._cloud.status('volume', made) == 'available',
            f'volume {made} is made',
            operation_module.SHORT,
        )
        in_pool = self._pool is not None and self._pool.adopt(made)
        digest = volumes.digest(self._lab, made)
        return model_module.Volume(
            made, digest, in_pool=in_pool, in_file=kind == 'file'
        )

    def _tidy(self, kind: str, resource: str) -> None:
        """Remove what an earlier run has left in whatever status."""
        for attachment in self._cloud.listed('attachment'):
            if attachment['volume_id'] == resource:
                self._cloud.remove('attachment', attachment['id'])
        if kind == 'volume' and self._pool is not None:
            self._pool.free(resource)
        self._cloud.force_delete(kind, resource)

    def _round(self, chosen: plan.Round) -> None:
        started = time.monotonic()
        if self._exports is not None:
            self._exports.choose(chosen.exported)
        calm = threading.Event()
        tasks = self._model.assign(chosen.operations)
        running = [
            operations.KINDS[task.kind](
                self._cloud, self._model, task, chosen.fault, calm
            )
            for task in tasks
        ]
        try:
            for one in running:
                one.prepare()
            for one in running:
                one.begin()
            with _beside(self._cloud, running):
                if chosen.fault is not None:
                    met = set().union(*(one.volume_ids for one in tasks))
                    self._controller.inject(
                        chosen.fault,
                        met,
                        lambda: all(one.outcome for one in running),
                    )
                calm.set()
            if any(one.outcome in ('lost', 'stale') for one in running):
                # What an operator does: it cleans up when it starts.
                self._controller.restart_cinder_backup()
            for one in running:
                one.settle()
        finally:
            seconds = time.monotonic() - started
            self._say(self.tally.line(chosen, running, seconds))
        self.tally.add(chosen, running)
        for one in running:
            self.tally.notes += one.notes
        for one in running:
            if chosen.fault is None and one.outcome == 'failed':
                raise Violation(f'{one}, though there was no fault')

    def _close(self) -> None:
        last = closing.Closing(
            self._cloud, self._model, self._pool, self._others, self._say
        )
        try:
            last.run(self._empty)
        finally:
            self.tally.violations += last.violations
        self.tally.remainder = last.remainder


@contextlib.contextmanager
def _beside(
    cloud: cloud_module.Cloud, running: list[operation_module.Operation]
) -> Iterator[None]:
    """Let the operations wait for their ends while something else is done.

    Raises the first exception, if any, that one of them ended by.
    """
    failures: list[BaseException] = []

    def wait(one: operation_module.Operation) -> None:
        try:
            one.wait()
        except BaseException as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=wait, args=(one,), daemon=True)
        for one in running
    ]
    for thread in threads:
        thread.start()
    try:
        yield
        for thread in threads:
            thread.join()
    except BaseException:
        cloud.stop.set()
        raise
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _configured(lab: lab_module.Lab, seed: int) -> Iterator[None]:
    """Run the lab as it has to be for this, and as it was afterwards."""
    path = lab.etc / 'ebackup.d' / 'torture.conf'
    exported = exports_module.are_possible(lab)
    path.write_text(
        _OPTIONS.format(
            workers=plan.WORKERS,
            checkpoint_size=plan.checkpoint_size(seed),
            exports=exports_module.options(lab) if exported else '',
        )
    )
    if lab.settings.separate:
        lab.settings.proxies = 2
    try:
        lifecycle.up(lab, lab.settings.profile, None, None)
        yield
    finally:
        path.unlink()
        if lab.settings.separate:
            lifecycle.stop(lab, 'ebackup-proxy-2')
            lab.settings.proxies = 1
        lifecycle.up(lab, lab.settings.profile, None, None)


@contextlib.contextmanager
def _exporting(
    lab: lab_module.Lab, say: Callable[[str], None]
) -> Iterator[exports_module.Exports | None]:
    """Have a storage for what is exported to proxies, where there can be."""
    if not exports_module.are_possible(lab):
        yield None
        return
    exports = exports_module.Exports(cloud_module.Cloud(lab))
    try:
        exports.begin()
        yield exports
    finally:
        try:
            exports.end()
        except (Violation, rest.Failure) as error:
            say(f'{error}: delete it before volumes are backed up again')


def run(
    lab: lab_module.Lab, rounds: int, seed: int | None, as_json: bool
) -> int:
    """Return an exit code; SIGTERM ends it as an interruption does."""
    if lab.settings.profile not in plan.FAULTS:
        raise console.Problem(
            f'the lab in {lab.directory} has profile '
            f'{lab.settings.profile}; torture needs '
            f'{" or ".join(plan.FAULTS)}'
        )
    stream = sys.stderr if as_json else sys.stdout

    def say(message: str) -> None:
        print(message, file=stream, flush=True)

    if seed is None:
        seed = secrets.randbelow(2**31)
    say(f'seed {seed}: {rounds} rounds; once more: {_again(rounds, seed)}')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        (lab.log / 'torture.log').open('a') as log,
        contextlib.redirect_stderr(log),
        _configured(lab, seed),
        _exporting(lab, say) as exports,
    ):
        torture = Torture(lab, rounds, seed, say, exports)
        torture.run()
    tally = torture.tally
    if tally.violations:
        say(f'look at the ids above in {lab.log}; nothing was tidied up')
    if as_json:
        print(json.dumps(tally.summary(), indent=2))
    else:
        print(tally.text())
    return 1 if tally.violations else 0


def _again(rounds: int, seed: int) -> str:
    return f'tools/lab torture --rounds {rounds} --seed {seed}'
