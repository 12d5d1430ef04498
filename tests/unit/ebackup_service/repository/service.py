# SPDX-License-Identifier: Apache-2.0
"""What a service knows of its images.

In the place of the catalog, whose transactions are one step here, and which
no power loss reaches. Every step is noted on the disk: what is left is judged
by what the service knew at that instant.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import enum
import random
from typing import TypeAlias
import uuid

from ebackup_service.repository import liveness
from ebackup_service.repository import location
from ebackup_service.repository import marking
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository.storage import disk

CHAINS = [image_root.Chain('project', volume) for volume in ('one', 'two')]
# Two leaves and a page above them; two data packs, of the smallest size.
SIZE = base.LEAF + 3 * base.CHUNK + 1000
PACK_SIZE = 64 * 1024
_USED = [*range(5, 20), 256, 257, 259]
_CHANGED = 4


class State(enum.Enum):
    """Of an image. From COMMITTED on the catalog knows its tree."""

    CREATING = 'creating'
    COMMITTED = 'committed'
    AVAILABLE = 'available'
    ERROR = 'error'
    DELETING = 'deleting'
    DELETED = 'deleted'


RUNNING = (State.CREATING, State.COMMITTED)
DEAD = (State.ERROR, State.DELETING, State.DELETED)


@dataclasses.dataclass(frozen=True)
class Record:
    """An image, and the session that makes it."""

    id: str
    session_id: str
    chain: image_root.Chain
    generation: int
    base: str | None
    data: bytes = dataclasses.field(repr=False)
    state: State = State.CREATING
    root: image_root.Root | None = dataclasses.field(
        default=None, repr=False, hash=False
    )
    # which run of the session is heard, and how far it says that it is
    run: int = 0
    checkpoint: location.Locator | None = None


Facts: TypeAlias = Mapping[str, Record]


class Service:
    """For processes that take turns: none is interrupted in a step.

    :ivar images: by id
    :ivar pinned: ids of images that are being restored
    """

    def __init__(self, place: disk.Disk, generator: random.Random) -> None:
        self.images: dict[str, Record] = {}
        self.pinned: list[str] = []
        self._disk = place
        self._generator = generator

    def reserve(self, chain: image_root.Chain) -> Record:
        """A new image, based on the newest available one of its chain."""
        base_record = newest(self.images, chain)
        record = Record(
            id=self._new_id(),
            session_id=self._new_id(),
            chain=chain,
            generation=1 + sum(i.chain == chain for i in self.images.values()),
            base=None if base_record is None else base_record.id,
            data=content(
                self._generator,
                None if base_record is None else base_record.data,
            ),
        )
        self._put(record)
        return record

    def commit(self, image_id: str, root: image_root.Root) -> None:
        self._put(committed(self.images[image_id], root))

    def move(self, image_id: str, state: State) -> None:
        self._put(moved(self.images[image_id], state))

    def record(self, image_id: str) -> Record:
        return self.images[image_id]

    def pin(self, image_id: str) -> Record | None:
        """Begin to restore; the image, None if it isn't available."""
        record = self.images[image_id]
        if record.state is not State.AVAILABLE:
            return None
        self.pinned.append(image_id)
        return record

    def unpin(self, image_id: str) -> None:
        self.pinned.remove(image_id)

    def live(self, image_ids: list[str]) -> liveness.Live:
        """What a collection asks for."""
        return live(self.images, image_ids, self.pinned)

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._generator.getrandbits(128), version=4))

    def _put(self, record: Record) -> None:
        self.images[record.id] = record
        self._disk.note(dict(self.images))


def moved(record: Record, state: State) -> Record:
    return dataclasses.replace(record, state=state)


def committed(record: Record, root: image_root.Root) -> Record:
    return dataclasses.replace(record, root=root, state=State.COMMITTED)


def newest(facts: Facts, chain: image_root.Chain) -> Record | None:
    """The base of the next image of a chain."""
    available = [
        record
        for record in facts.values()
        if record.chain == chain and record.state is State.AVAILABLE
    ]
    return max(available, key=lambda record: record.generation, default=None)


def content(generator: random.Random, older: bytes | None) -> bytes:
    """A volume; with some chunks changed if there is an older one."""
    data = bytearray(older or bytes(SIZE))
    for chunk in generator.sample(_USED, _CHANGED) if older else _USED:
        begin = chunk * base.CHUNK
        length = len(data[begin : begin + base.CHUNK])
        data[begin : begin + length] = generator.randbytes(length)
    return bytes(data)


def live(
    facts: Facts, image_ids: Iterable[str], pinned: Iterable[str] = ()
) -> liveness.Live:
    """What the catalog answers a collection that has met some images."""
    met = set(image_ids)
    records = facts.values()
    pins = {
        *pinned,
        *(r.base for r in records if r.state in RUNNING),
        *(
            r.id
            for r in records
            if r.state is State.AVAILABLE and r.id not in met
        ),
    } - {None}
    return liveness.Live(
        dead={r.id for r in records if r.state in DEAD and r.id in met},
        pins=[pin(facts[image_id]) for image_id in pins],
        sessions={r.session_id for r in records if r.state in RUNNING},
        uncommitted={
            r.id
            for r in records
            if r.state is State.ERROR and r.root is None and r.id in met
        },
    )


def pin(record: Record) -> marking.Pin:
    root = record.root
    assert root is not None
    return root.tree, root.size, root.chunk_size
