# SPDX-License-Identifier: Apache-2.0
"""Jobs of proxies as processes for an explorer: they say what may come."""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
from typing import Any

import numpy as np

from ebackup_service.repository import account
from ebackup_service.repository import accounts
from ebackup_service.repository import checker
from ebackup_service.repository import collector
from ebackup_service.repository import compaction
from ebackup_service.repository import damage
from ebackup_service.repository import errors
from ebackup_service.repository import extents
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import live_bytes
from ebackup_service.repository import location
from ebackup_service.repository import pack_rows
from ebackup_service.repository import pack_set
from ebackup_service.repository import root as image_root
from ebackup_service.repository import survey
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import explorer
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import scripts
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository import stepwise_repair
from tests.unit.ebackup_service.repository import stepwise_service
from tests.unit.ebackup_service.repository.storage import stepwise

Powers = scripts.Powers
# What is the same in all collections, or never looked at by them.
_NO_KNOWLEDGE = frozenset(
    ['result', '_repo', '_storage', '_live', '_check', '_check_owner',
     '_began', '_limits', '_tell', '_steps_done', '_choice']
)  # fmt: skip


class Job:
    """``number`` stands for the ids of its image and its session."""

    def __init__(self, name: str, number: int, data: bytes = b'') -> None:
        """:param data: what the volume of a backup holds"""
        self.name = name
        self.image = f'{number:08x}-0000-4000-8000-00000000000a'
        self.session = f'{number:08x}-0000-4000-8000-00000000000b'
        self._data = data

    def backup(
        self,
        chain: image_root.Chain,
        damaged: extents.Extents | None = None,
    ) -> explorer.Actor:
        """:param damaged: what it is told of its base; it is stored anew"""
        own = (layout.session_prefix(self.session), *_keys(self.image))
        powers = Powers(
            creates=own,
            reads=own,
            misses=(layout.PACKS,),
            asks=frozenset(['reserve', 'commit', 'acknowledge']),
        )

        def run(one: proxy.Proxy) -> None:
            one.damaged = damaged or one.damaged
            one.backup(chain)

        return self._actor(powers, run, own)

    def delete(self, image: str) -> explorer.Actor:
        keys = _keys(image)
        powers = Powers(keys, keys, keys, (), frozenset(['doom', 'bury']))
        return self._actor(powers, lambda one: one.delete(image))

    def begin_to_delete(self, image: str) -> explorer.Actor:
        """A deletion that comes no further than the catalog."""

        def run(one: proxy.Proxy) -> None:
            one.service.move(image, services.State.DELETING)

        actor = self._actor(Powers(asks=frozenset(['doom'])), run)
        return dataclasses.replace(actor, killed=None)

    def restore(self, image: str, damaged: bool = False) -> explorer.Actor:
        """To others it is all the same whether it ends or is killed.

        :param damaged: the image was, so it may fail
        """
        powers = Powers(
            reads=(layout.COMPACTED,),
            misses=(layout.PACKS,),
            asks=frozenset(['pin', 'unpin']),
        )

        def run(one: proxy.Proxy) -> None:
            with contextlib.suppress(*[errors.Corrupt] if damaged else []):
                one.restore(image)

        actor = self._actor(powers, run)
        return dataclasses.replace(actor, killed=None)

    def collect(
        self, late: bool = False, of: 'Sequence[Job] | None' = None
    ) -> explorer.Actor:
        """A collection.

        :param late: it may go on although others have begun since
        :param of: it touches nothing but what is of these; it is held to that
        """
        return self._collect(proxy.Proxy.collect, late, of)

    def compact(
        self, late: bool = False, of: 'Sequence[Job] | None' = None
    ) -> explorer.Actor:
        """A collection that looks at everything. See collect()."""
        return self._collect(proxy.Proxy.compact, late, of)

    def check(
        self, known: checker.Damage, of: 'Sequence[Job]'
    ) -> explorer.Actor:
        """A check that repairs.

        :param known: what was found before, by image
        :param of: see collect()
        """
        powers = stepwise_repair.POWERS._replace(
            reads=(*stepwise_repair.POWERS.reads, layout.PACKS)
        )
        return self._actor(powers, lambda one: one.check(known), only=of)

    def repair(
        self,
        found: Sequence[location.Locator],
        lost: Mapping[location.PackAddress, bool],
        of: 'Sequence[Job]',
    ) -> explorer.Actor:
        """What a check does at its end, with what it found before all.

        :param found: damaged records
        :param lost: packs, and whether they are gone
        :param of: see collect()
        """

        def run(one: proxy.Proxy) -> None:
            records = damage.DamagedRecords()
            for where in found:
                records.add(where, errors.Corrupt('record', '', 'damaged'))
            for address, is_gone in lost.items():
                records.lose(address, is_gone)
            one.repair(records)

        return self._actor(stepwise_repair.POWERS, run, only=of)

    def _collect(
        self,
        collect: Callable[[proxy.Proxy], None],
        late: bool,
        of: 'Sequence[Job] | None',
    ) -> explorer.Actor:
        def run(one: proxy.Proxy) -> None:
            # What was needed when it asked may be gone when it is late.
            with contextlib.suppress(*[errors.Corrupt] if late else []):
                collect(one)

        return self._actor(_COLLECT, run, only=of)

    def _actor(
        self,
        powers: Powers,
        code: Callable[[proxy.Proxy], Any],
        owns: tuple[str, ...] = (),
        only: 'Sequence[Job] | None' = None,
    ) -> explorer.Actor:
        keys = None if only is None else _keys_of(only)

        def run(caller: stepwise.Caller) -> None:
            teller = _Teller(caller, powers, keys)
            service = _Service(
                caller, self.name, self.image, self.session, self._data
            )
            service.teller = teller
            code(_Proxy(service, storage=stepwise.StepwiseStorage(caller)))

        def killed(catalog: stepwise_service.Catalog) -> Any:
            return catalog.given_up(self.name, self.session)

        return explorer.Actor(self.name, run, killed, owns)


class _Teller:
    """:param only: keys, or prefixes, of what may be touched at all"""

    def __init__(
        self,
        caller: stepwise.Caller,
        powers: Powers,
        only: tuple[str, ...] | None = None,
    ) -> None:
        self._caller = caller
        self._powers = powers
        self._only = only
        self.tell()

    def tell(self, knowledge: Any = None, **powers: Any) -> None:
        """Say what has changed of what may come."""
        self._powers = self._powers._replace(**powers)
        # Whoever misses a pack looks whether the storage is there.
        reads = {*self._powers.reads, layout.REPOSITORY}
        self._powers = self._powers._replace(
            creates=self._narrowed(self._powers.creates),
            deletes=self._narrowed(self._powers.deletes),
            reads=tuple(sorted(reads)),
        )
        scripts.tell(self._caller, self._powers, knowledge)

    def _narrowed(self, powers: tuple[str, ...]) -> tuple[str, ...]:
        if self._only is None:
            return powers
        return tuple(
            max(power, key, key=len)
            for power in powers
            for key in self._only
            if key.startswith(power) or power.startswith(key)
        )


class _Service(stepwise_service.StepwiseService):
    teller: _Teller

    def reserve(self, chain: image_root.Chain) -> services.Record:
        record = super().reserve(chain)
        self.teller.tell(asks=frozenset(['commit', 'acknowledge']))
        return record

    def commit(self, image_id: str, root: image_root.Root) -> None:
        super().commit(image_id, root)
        marker = (layout.commit_key(image_id),)
        self.teller.tell(
            creates=marker, misses=(), asks=frozenset(['acknowledge'])
        )

    def pin(self, image_id: str) -> services.Record | None:
        record = super().pin(image_id)
        self.teller.tell(asks=frozenset(['unpin']))
        return record


class _Proxy(proxy.Proxy):
    service: _Service

    def repair(self, records: damage.DamagedRecords) -> None:
        stepwise_repair.Repair(self, records, self.service.teller.tell).run(
            self.service.live
        )

    def _collect(self, **kwargs: Any) -> None:
        collection = collector.Collection(
            self.repo,
            self.service.live,
            base.nothing_to_check,
            base.nothing_to_check,
            **kwargs,
        )
        for step in collection.steps():
            step()
            if (change := _AFTERWARDS.get(step.__name__)) is not None:
                left = {
                    name: value
                    for name, value in vars(collection).items()
                    if name not in _NO_KNOWLEDGE
                }
                knowledge = step.__name__, _frozen(left)
                self.service.teller.tell(knowledge, **change(collection))


_COLLECT = Powers(
    creates=(layout.TOMBSTONES, layout.ACCOUNTS, layout.COMPACTED),
    deletes=(layout.PACKS, layout.IMAGES, layout.ACCOUNTS, layout.COMPACTED),
    reads=(
        layout.PACKS,
        layout.IMAGES,
        layout.TOMBSTONES,
        layout.ACCOUNTS,
        layout.COMPACTED,
    ),
    asks=frozenset(['live']),
)
# What may still come after a step of a collection. Packs that were no
# candidates may come, it doesn't look at them.
_AFTERWARDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    '_list_candidates': lambda collection: {
        'reads': (layout.IMAGES, layout.TOMBSTONES, layout.COMPACTED),
        'misses': (layout.PACKS,),
    },
    '_ask': lambda collection: {'asks': frozenset()},
    '_mark': lambda collection: {
        'creates': (
            layout.ACCOUNTS,
            layout.COMPACTED,
            *_doubtful(collection),
        ),
        'deletes': (
            layout.ACCOUNTS,
            layout.PACKS,
            layout.COMPACTED,
            *_doubtful(collection),
        ),
        'reads': (
            layout.COMPACTED,
            *_tombstones(collection),
            *_doubtful(collection),
        ),
    },
    '_remove_images': lambda collection: {
        'creates': (layout.ACCOUNTS, layout.COMPACTED),
        'deletes': (layout.ACCOUNTS, layout.PACKS, layout.COMPACTED),
        'reads': (layout.COMPACTED, *_tombstones(collection)),
    },
    '_remove_packs': lambda collection: (
        {
            'creates': (layout.COMPACTED,),
            'deletes': (layout.ACCOUNTS, layout.PACKS, layout.COMPACTED),
        }
        if collection._compaction
        else _without_packs(collection)
    ),
    '_compact': lambda collection: _without_packs(collection),
}


def _without_packs(collection: Any) -> dict[str, Any]:
    return {
        'creates': (),
        'deletes': (layout.ACCOUNTS,),
        'reads': _tombstones(collection),
        'misses': (),
    }


def _tombstones(collection: Any) -> tuple[str, ...]:
    """Read at the end by those that look at everything."""
    return (layout.TOMBSTONES,) if collection._whole else ()


def _doubtful(collection: Any) -> tuple[str, ...]:
    return tuple(
        key for image in collection._doubtful for key in _keys(image.id)
    )


def _keys_of(jobs: Sequence[Job]) -> tuple[str, ...]:
    """Of images and packs, and of what isn't anybody's."""
    return (
        layout.ACCOUNTS,
        *(key for job in jobs for key in _keys(job.image)),
        *(
            key.replace(layout.PACKS, place)
            for job in jobs
            for key in [layout.session_prefix(job.session)]
            for place in (layout.PACKS, layout.COMPACTED)
        ),
    )


def _keys(image_id: str) -> tuple[str, ...]:
    return (
        layout.root_key(image_id),
        layout.commit_key(image_id),
        layout.tombstone_key(image_id),
    )


def _frozen(value: Any) -> Any:
    """Something hashable that is equal where the value is."""
    if isinstance(
        value,
        pack_set.PackSet
        | accounts.Accounts
        | live_bytes.LiveBytes
        | pack_rows.PackRows,
    ):
        return _frozen(vars(value))
    if isinstance(value, compaction.Compaction):
        return _frozen(
            {k: v for k, v in vars(value).items() if k not in _NO_KNOWLEDGE}
        )
    if isinstance(value, left_out.LeftOut):
        # Told apart by nothing else.
        return frozenset(value._found)
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, account.Account):
        # What the counts are follows from the rest.
        return value.number, value.entries
    if isinstance(value, tuple | survey.Image):
        with contextlib.suppress(TypeError):
            hash(value)
            return value
    if dataclasses.is_dataclass(value):
        return tuple(
            _frozen(getattr(value, field.name))
            for field in dataclasses.fields(value)
        )
    if isinstance(value, dict):
        return frozenset((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, set):
        return frozenset(map(_frozen, value))
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, bytearray):
        return bytes(value)
    return value
