# SPDX-License-Identifier: Apache-2.0
"""Jobs of proxies as processes for an explorer: they say what may come."""

from collections.abc import Callable
import contextlib
import dataclasses
from typing import Any

from ebackup_service.repository import account
from ebackup_service.repository import accounts
from ebackup_service.repository import collector
from ebackup_service.repository import layout
from ebackup_service.repository import pack_set
from ebackup_service.repository import root as image_root
from ebackup_service.repository import survey
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import explorer
from tests.unit.ebackup_service.repository import proxy
from tests.unit.ebackup_service.repository import scripts
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository import stepwise_service
from tests.unit.ebackup_service.repository.storage import stepwise

Powers = scripts.Powers
# What is the same in all collections, or never looked at by them.
_NO_KNOWLEDGE = frozenset(
    ['result', '_repo', '_storage', '_live', '_check', '_check_owner',
     '_began']
)  # fmt: skip


class Job:
    """``number`` stands for the ids of its image and its session."""

    def __init__(self, name: str, number: int, data: bytes = b'') -> None:
        """:param data: what the volume of a backup holds"""
        self.name = name
        self.image = f'{number:08x}-0000-4000-8000-00000000000a'
        self.session = f'{number:08x}-0000-4000-8000-00000000000b'
        self._data = data

    def backup(self, chain: image_root.Chain) -> explorer.Actor:
        own = (layout.session_prefix(self.session), *_keys(self.image))
        powers = Powers(
            creates=own,
            reads=own,
            misses=(layout.PACKS,),
            asks=frozenset(['reserve', 'commit', 'acknowledge']),
        )
        return self._actor(powers, lambda one: one.backup(chain), own)

    def delete(self, image: str) -> explorer.Actor:
        keys = _keys(image)
        powers = Powers(keys, keys, keys, (), frozenset(['doom', 'bury']))
        return self._actor(powers, lambda one: one.delete(image))

    def restore(self, image: str) -> explorer.Actor:
        """To others it is all the same whether it ends or is killed."""
        powers = Powers(
            misses=(layout.PACKS,), asks=frozenset(['pin', 'unpin'])
        )
        actor = self._actor(powers, lambda one: one.restore(image))
        return dataclasses.replace(actor, killed=None)

    def collect(self) -> explorer.Actor:
        return self._actor(_COLLECT, lambda one: one.collect())

    def _actor(
        self,
        powers: Powers,
        code: Callable[[proxy.Proxy], Any],
        owns: tuple[str, ...] = (),
    ) -> explorer.Actor:
        def run(caller: stepwise.Caller) -> None:
            reads = (*powers.reads, layout.REPOSITORY)
            teller = _Teller(caller, powers._replace(reads=reads))
            service = _Service(
                caller, self.name, self.image, self.session, self._data
            )
            service.teller = teller
            code(_Proxy(service, storage=stepwise.StepwiseStorage(caller)))

        def killed(catalog: stepwise_service.Catalog) -> Any:
            return catalog.given_up(self.name, self.session)

        return explorer.Actor(self.name, run, killed, owns)


class _Teller:
    def __init__(self, caller: stepwise.Caller, powers: Powers) -> None:
        self._caller = caller
        self._powers = powers
        self.tell()

    def tell(self, knowledge: Any = None, **powers: Any) -> None:
        """Say what has changed of what may come."""
        self._powers = self._powers._replace(**powers)
        scripts.tell(self._caller, self._powers, knowledge)


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

    def collect(self) -> None:
        collection = collector.Collection(
            self.repo,
            self.service.live,
            base.nothing_to_check,
            base.nothing_to_check,
            whole=False,
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
    creates=(layout.TOMBSTONES, layout.ACCOUNTS),
    deletes=(layout.PACKS, layout.IMAGES, layout.ACCOUNTS),
    reads=(layout.PACKS, layout.IMAGES, layout.TOMBSTONES, layout.ACCOUNTS),
    asks=frozenset(['live']),
)
# What may still come after a step of a collection. Packs that were no
# candidates may come, it doesn't look at them.
_AFTERWARDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    '_list_candidates': lambda collection: {
        'reads': (layout.IMAGES, layout.TOMBSTONES),
        'misses': (layout.PACKS,),
    },
    '_ask': lambda collection: {'asks': frozenset()},
    '_mark': lambda collection: {
        'creates': (layout.ACCOUNTS, *_doubtful(collection)),
        'deletes': (layout.ACCOUNTS, layout.PACKS, *_doubtful(collection)),
        'reads': _doubtful(collection),
    },
    '_remove_images': lambda collection: {
        'creates': (layout.ACCOUNTS,),
        'deletes': (layout.ACCOUNTS, layout.PACKS),
        'reads': (),
    },
    '_remove_packs': lambda collection: {
        'creates': (),
        'deletes': (layout.ACCOUNTS,),
        'misses': (),
    },
}


def _doubtful(collection: Any) -> tuple[str, ...]:
    return tuple(
        key for image in collection._doubtful for key in _keys(image.id)
    )


def _keys(image_id: str) -> tuple[str, ...]:
    return (
        layout.root_key(image_id),
        layout.commit_key(image_id),
        layout.tombstone_key(image_id),
    )


def _frozen(value: Any) -> Any:
    """Something hashable that is equal where the value is."""
    if isinstance(value, pack_set.PackSet | accounts.Accounts):
        return _frozen(vars(value))
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
