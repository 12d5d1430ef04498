# SPDX-License-Identifier: Apache-2.0
"""Two runs of one backup as processes for an explorer.

The service takes the job back from the first one, which may be lost or only
slow, at any instant, and gives it to the second one, which goes on from the
checkpoint, if there is one by then, or adopts a root that it finds.
"""

from collections.abc import Callable
import contextlib
from typing import Any, NamedTuple

from ebackup_service.repository import errors
from ebackup_service.repository import inventory
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import repository
from ebackup_service.repository import root as image_root
from ebackup_service.repository import session as repository_session
from ebackup_service.repository import tree
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import explorer
from tests.unit.ebackup_service.repository import scripts
from tests.unit.ebackup_service.repository import service as services
from tests.unit.ebackup_service.repository import stepwise_service
from tests.unit.ebackup_service.repository.storage import stepwise

FIRST, SECOND = 1, 2
# What the ordinals of packs begin with. The first run may be so slow that it
# goes on behind what the second one has written.
_ORDINALS = {FIRST: ('000004', '00000c'), SECOND: ('000008',)}


class Fenced(Exception):
    """The service heeds this run no more."""


class Begun(NamedTuple):
    """What a run is handed.

    :ivar begun: the tree of the first leaf, if there is a checkpoint
    """

    record: services.Record
    base: services.Record | None
    begun: location.Locator | None


class Runs:
    """``number`` stands for the ids of image and session."""

    def __init__(
        self,
        number: int,
        base_image: str,
        data: bytes,
        checkpoint: bool = True,
    ) -> None:
        """:param checkpoint: whether there is one after the first leaf"""
        self._checkpoint = checkpoint
        self._base = base_image
        self.image = f'{number:08x}-0000-4000-8000-00000000000a'
        self.session = f'{number:08x}-0000-4000-8000-00000000000b'
        self._data = data

    def reserved(
        self, world: explorer.World, chain: image_root.Chain
    ) -> explorer.World:
        """The job is handed out, and the first run has begun."""
        catalog = world.catalog
        for verb, arguments in (
            ('reserve', (self.image, self.session, chain, self._data)),
            ('begin', (self.image, FIRST)),
        ):
            call = stepwise.Call(stepwise_service.CATALOG, verb, arguments)
            catalog, self._begun = catalog.perform(call)
        return explorer.World(world.objects, catalog)

    def first(self) -> explorer.Actor:
        """It may be lost, upon which the second one comes.

        It has looked whether its base counts.
        """
        return explorer.Actor(
            'first run', self._code(FIRST), lambda catalog: catalog
        )

    def second(self) -> explorer.Actor:
        """It isn't lost: no other run would come."""
        return explorer.Actor('second run', self._code(SECOND), None)

    def _code(self, number: int) -> Callable[[stepwise.Caller], None]:
        packs = _packs(self.session, number)
        root, marker, tombstone = _keys(self.image)
        powers = scripts.Powers(
            creates=(*packs, root, marker),
            reads=(
                layout.session_prefix(self.session),
                root,
                marker,
                tombstone,
                *_keys(self._base),
                layout.REPOSITORY,
            ),
            misses=(layout.PACKS,),
            asks=frozenset(
                [
                    'begin',
                    'checkpoint',
                    'commit_run',
                    'fail_run',
                    'acknowledge_run',
                ]
            ),
        )

        def run(caller: stepwise.Caller) -> None:
            left = powers

            def tell(
                knowledge: Any, reads: tuple[str, ...] = (), **changed: Any
            ) -> None:
                nonlocal left
                # To see if the storage is away, when something is missing.
                changed['reads'] = (*reads, layout.REPOSITORY)
                left = left._replace(**changed)
                scripts.tell(caller, left, knowledge)

            tell(None, powers.reads)
            with contextlib.suppress(Fenced):
                one = _Run(caller, self.image, number, tell)
                one.checkpoint = self._checkpoint
                one.run_heard(Begun(*self._begun) if number == FIRST else None)

        return run


def _keys(image_id: str) -> tuple[str, str, str]:
    return (
        layout.root_key(image_id),
        layout.commit_key(image_id),
        layout.tombstone_key(image_id),
    )


def _packs(session_id: str, number: int) -> tuple[str, ...]:
    """What the keys of all packs begin with that a run writes."""
    prefix = layout.session_prefix(session_id)
    return tuple(
        f'{prefix}{kind}-{first}'
        for kind in 'dp'
        for first in _ORDINALS[number]
    )


class _Run:
    """What a proxy does: see ebackup_service.proxy.backup."""

    checkpoint = True

    def __init__(
        self,
        caller: stepwise.Caller,
        image: str,
        number: int,
        tell: Callable[..., None],
    ) -> None:
        self._caller = caller
        self._image = image
        self._number = number
        self._tell = tell
        self._storage = stepwise.StepwiseStorage(caller)

    def run_heard(self, begun: Begun | None) -> None:
        """Whoever was given up may miss what nobody keeps for him."""
        try:
            self._run(begun)
        except errors.RepositoryError:
            self._ask('fail_run')
            raise

    def _run(self, begun: Begun | None) -> None:
        looked = begun is not None
        begun = begun or Begun(*self._ask('begin'))
        record = begun.record
        _, marker, _ = own = _keys(record.id)
        asks = ['fail_run', 'acknowledge_run', 'commit_run', 'checkpoint']
        self._tell(
            begun,
            (
                layout.session_prefix(record.session_id),
                *own,
                *(_keys(begun.base.id) if begun.base and not looked else ()),
            ),
            asks=frozenset(asks),
        )
        repo = repository.Repository.open(self._storage)
        session = repo.session(
            record.session_id, record.generation, run=self._number
        )
        with contextlib.closing(session):
            root = session.candidate(record.id)
            if root is None:
                old = self._base(repo, begun.base, looked)
                self._tell(
                    ('base', begun, old is None, *session._next.values()), own
                )
                root = session.commit_candidate(
                    self._store(repo, session, begun, old)
                )
            self._tell(
                ('root', record, root.to_bytes()),
                own,
                creates=(marker,),
                misses=(),
                asks=frozenset(asks[:3]),
            )
            self._ask('commit_run', root)
            session.mark_committed(record.id)
        self._tell('marked', creates=(), asks=frozenset(asks[:2]))
        self._ask('acknowledge_run')

    def _store(
        self,
        repo: repository.Repository,
        session: repository_session.Session,
        begun: Begun,
        old: tree.Tree | None,
    ) -> image_root.Root:
        data = begun.record.data
        target = session.tree(len(data), base.CHUNK, old, begun.begun)
        chunks = session.writer()
        first = 0 if begun.begun is None else 1
        for index in range(first, -(-len(data) // base.LEAF)):
            leaf = page.Leaf(index)
            before = None if old is None else old.leaf(index)
            start = index * base.LEAF
            plain = data[start : start + base.CHUNK]
            if plain != bytes(len(plain)):
                chunk_id = repo.chunk_id(plain)
                known = None if before is None else before.get(0)
                if known is None or known.id != chunk_id:
                    known = chunks.add(chunk_id, plain)
                leaf.set(0, known)
            target.put_leaf(index, leaf)
            if index == 0 and self.checkpoint:
                reached = target.checkpoint()
                session.flush()
                self._ask('checkpoint', reached)
        return image_root.Root(
            image_id=begun.record.id,
            chain=begun.record.chain,
            generation=begun.record.generation,
            size=len(data),
            chunk_size=base.CHUNK,
            tree=target.finish(),
            record={},
            volume_metadata=None,
        )

    def _base(
        self,
        repo: repository.Repository,
        record: services.Record | None,
        looked: bool,
    ) -> tree.Tree | None:
        if record is None or record.root is None:
            return None
        if not looked and not isinstance(
            inventory.look(self._storage, record.id), image_root.Root
        ):
            return None
        return repo.tree(record.root)

    def _ask(self, verb: str, *arguments: Any) -> Any:
        answer = self._caller(
            stepwise.Call(
                stepwise_service.CATALOG,
                verb,
                (self._image, self._number, *arguments),
            )
        )
        if answer is None:
            raise Fenced
        return answer
