# SPDX-License-Identifier: Apache-2.0
"""Whether a repository that a power loss has left is what was promised."""

from collections.abc import Iterable
import contextlib
import functools
import random
from typing import Any

from ebackup_service.repository import collector
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import repository
from ebackup_service.repository.storage import base as storage_base
from ebackup_service.repository.storage import nas
from ebackup_service.repository import tree
from ebackup_service.repository import walk
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository.storage import disk
from tests.unit.ebackup_service.repository.storage import power_loss
from tests.unit.ebackup_service.repository.storage import simulated

_PATH = '/after'
# Enough for every temporary file to be old.
_OUTAGE = 7200.0

State = services.State


class Broken(Exception):
    """A promise isn't kept; the message says which."""


def examine(
    system: simulated.System, loss: power_loss.Loss, time: float
) -> None:
    """Look at what is left, then go on with it.

    :param time: of the disk, when the power went
    :raises Broken:
    """
    place = disk.Disk.holding(loss.remains, time + _OUTAGE)
    system.disks[_PATH] = place
    try:
        with contextlib.closing(nas.NasStorage(_PATH)) as storage:
            aftermath = Aftermath(place, storage, loss.fact)
            aftermath.look()
            aftermath.go_on()
    except Exception as error:
        lines = [f'{type(error).__name__}: {error}', f'{loss.calls} calls']
        lines += [str(record) for record in loss.fact.values()]
        lines += sorted(loss.remains)
        raise Broken('\n'.join(lines)) from error


class Aftermath:
    """One state; go_on() changes it."""

    def __init__(
        self,
        place: disk.Disk,
        storage: storage_base.Storage,
        facts: services.Facts,
    ) -> None:
        self._disk = place
        self._storage = storage
        self._repo = repository.Repository.open(storage)
        self._facts = dict(facts)

    def look(self) -> None:
        """What is promised is there."""
        for record in self._facts.values():
            self._look(record)

    def go_on(self) -> None:
        """Collections and backups do what they should."""
        # The jobs may go on: nothing that they have may be collected.
        before = self._packs_of(services.RUNNING)
        self._collect()
        _equal(before, self._packs_of(services.RUNNING), 'running sessions')
        self._end_jobs()
        self._collect()
        self._nothing_else_is_left()
        self._restore_all()
        if any(self._storage.list(layout.COMPACTED)):
            self._compact()
            self._nothing_else_is_left()
            self._restore_all()
        self._next_backup()

    def _look(self, record: services.Record) -> None:
        counts = self._repo.is_marked(record.id)
        if record.state is State.AVAILABLE:
            _true(counts, f'{record.id} is lost')
        if record.state in (State.CREATING, State.DELETED):
            _true(not counts, f'{record.id} counts')
        # A candidate root is complete: another run may adopt it.
        if counts or record.id in self._repo.images():
            if record.state in (*services.RUNNING, State.AVAILABLE) or counts:
                self._restore(record)

    def _end_jobs(self) -> None:
        """As a service does that finds nobody at work any more."""
        for record in self._in(State.CREATING):
            self._facts[record.id] = services.moved(record, State.ERROR)
        for record in self._in(State.COMMITTED):
            self._repo.mark(record.id)
            self._facts[record.id] = services.moved(record, State.AVAILABLE)

    def _compact(self) -> None:
        self._collect(whole=True, limits=proxy.ANY)

    def _collect(self, **kwargs: Any) -> None:
        collector.collect(
            self._repo,
            lambda ids: services.live(self._facts, ids),
            base.nothing_to_check,
            **kwargs,
        )

    def _nothing_else_is_left(self) -> None:
        available = {record.id for record in self._in(State.AVAILABLE)}
        _equal(available, set(self._repo.images()), 'images')
        reached: set[location.PackAddress] = set()
        for image_id in available:
            image = self._repo.tree(self._repo.root(image_id))
            reached |= packs(self._repo, image)
        known = {
            layout.REPOSITORY,
            *map(layout.pack_key, reached),
            *map(layout.root_key, available),
            *map(layout.commit_key, available),
        }
        paths = [
            path
            for path, data in self._disk.tree().items()
            if data is not None
        ]
        left = set(map(uncompacted, paths))
        _true(len(left) == len(paths), 'a pack has more than one object')
        left -= {path for path in left if layout.parse_tombstone(path)}
        accounts = {path for path in left if layout.is_account(path)}
        _equal(known, left - accounts, 'objects')
        chains = {record.chain for record in self._in(State.AVAILABLE)}
        _true(
            len(accounts) == len(chains),
            f'{len(accounts)} accounts of {len(chains)} chains',
        )
        for record in self._in(State.DELETED):
            _true(
                images.is_deleted(self._storage, record.id),
                f'{record.id} is forgotten',
            )

    def _restore_all(self) -> None:
        for record in self._in(State.AVAILABLE):
            _true(self._repo.is_marked(record.id), f'{record.id} is lost')
            self._restore(record)

    def _restore(self, record: services.Record) -> None:
        data = base.restored(
            self._repo, self._repo.tree(self._repo.root(record.id))
        )
        _true(data == record.data, f'{record.id} is not what was backed up')

    def _next_backup(self) -> None:
        chain = services.CHAINS[0]
        older = services.newest(self._facts, chain)
        case = base.RepositoryTestCase()
        image = case.backup(
            _next_content(older and older.data),
            base=older and base.Image(older.id, older.data, older.root, None),
            generation=1000,
            chain=chain,
            repo=self._repo,
        )
        data = base.restored(self._repo, self._repo.tree(image.root))
        _true(data == image.data, 'the next backup is wrong')

    def _packs_of(self, states: Iterable[State]) -> set[str]:
        sessions = {record.session_id for record in self._in(*states)}
        return {
            info.key
            for info in self._storage.list(layout.PACKS)
            if layout.parse_session(info.key) in sessions
        }

    def _in(self, *states: State) -> list[services.Record]:
        return [r for r in self._facts.values() if r.state in states]


def packs(
    repo: repository.Repository, source: tree.Tree
) -> set[location.PackAddress]:
    """All packs that a tree reaches."""
    return set(records(repo, source))


def records(
    repo: repository.Repository, source: tree.Tree
) -> dict[location.PackAddress, set[int]]:
    """Offsets of all records that a tree reaches, by pack."""
    reached: dict[location.PackAddress, set[int]] = {}
    if source.root is None:
        return reached
    reached[source.root.pack] = {source.root.offset}
    for page in walk.Walker(repo).pages(source, None):
        for slot in page.present.nonzero()[0].tolist():
            where = page.locator(slot)
            reached.setdefault(where.pack, set()).add(where.offset)
    return reached


def uncompacted(path: str) -> str:
    """The pack of which an object is what compaction has left."""
    address = layout.parse_compacted(path)
    return path if address is None else layout.pack_key(address)


@functools.lru_cache(8)
def _next_content(older: bytes | None) -> bytes:
    return services.content(random.Random(0), older)


def _true(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)


def _equal(wanted: set[str], found: set[str], what: str) -> None:
    _true(
        wanted == found,
        f'{what}: {sorted(wanted - found)} missing, '
        f'{sorted(found - wanted)} too many',
    )
