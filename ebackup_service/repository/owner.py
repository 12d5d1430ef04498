# SPDX-License-Identifier: Apache-2.0
"""owner.json: which service a repository belongs to."""

import dataclasses
from typing import Self

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import fields
from ebackup_service.repository import layout
from ebackup_service.repository.storage import base

KIND = 'owner'


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """A service, and how often it, or another one, has taken over."""

    service_id: str
    generation: int
    claimed_at: str = dataclasses.field(default_factory=fields.now)

    def to_bytes(self) -> bytes:
        return document.seal(KIND, dataclasses.asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of to_bytes.

        :raises Corrupt: not valid
        """
        content = document.unseal(KIND, layout.OWNER, data)
        try:
            return cls(
                service_id=fields.text(content, 'service_id'),
                generation=fields.number(content, 'generation'),
                claimed_at=fields.text(content, 'claimed_at'),
            )
        except ValueError as error:
            raise errors.Corrupt(KIND, layout.OWNER, str(error)) from error


def read(storage: base.Storage) -> Owner | None:
    """The owner of a repository, None if nobody has claimed it.

    :raises Corrupt: the marker is damaged
    """
    try:
        data = document.read_bytes(storage, KIND, layout.OWNER, fresh=True)
    except errors.ObjectMissing:
        return None
    return Owner.from_bytes(data)


def claim(storage: base.Storage, service_id: str, generation: int) -> None:
    """Make a service the owner, if nobody is, or an older one of its own.

    :raises ForeignOwner: it belongs to another, or a newer one
    :raises Corrupt: the marker is damaged
    """
    mine = Owner(service_id, generation)
    current = read(storage)
    if current is None:
        try:
            storage.create(layout.OWNER, [mine.to_bytes()])
            return
        except errors.ObjectExists:
            # Another one was quicker.
            current = read(storage)
    if current is not None:
        if current.service_id != service_id:
            raise _foreign(current)
        if current.generation > generation:
            raise _foreign(current)
        if current.generation == generation:
            return
    storage.replace(layout.OWNER, mine.to_bytes())


def take_over(
    storage: base.Storage, service_id: str, generation: int
) -> tuple[Owner | None, Owner]:
    """Make a service the owner, whoever was: an operator's explicit command.

    Called again, it is a newer owner each time: of two copies of one service
    that both took over, the first one is fenced.

    :param generation: the greatest that the service knows of its own here
    :returns: who was the owner, None if nobody was or that can't be told; and
        who is now, of a generation that the service has never had here
    """
    try:
        previous = read(storage)
    except errors.Corrupt:
        previous = None
    if previous is not None and previous.service_id == service_id:
        generation = max(generation, previous.generation)
    mine = Owner(service_id, generation + 1)
    storage.replace(layout.OWNER, mine.to_bytes())
    return previous, mine


def check(storage: base.Storage, service_id: str, generation: int) -> None:
    """Make sure that nobody else has taken the repository over.

    :raises ForeignOwner: somebody has, or nobody has claimed it
    """
    current = read(storage)
    if current is None:
        raise errors.ForeignOwner(
            'Nobody has claimed the repository; it may be another one, or '
            'its storage may not be mounted'
        )
    if (current.service_id, current.generation) != (service_id, generation):
        raise _foreign(current)


def _foreign(current: Owner) -> errors.ForeignOwner:
    return errors.ForeignOwner(
        f'The repository belongs to service {current.service_id[:64]} '
        f'(generation {current.generation}, since {current.claimed_at[:32]});'
        ' stop that one, then take over explicitly'
    )
