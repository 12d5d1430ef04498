# SPDX-License-Identifier: Apache-2.0
"""repository.json: what a repository is."""

from collections.abc import Iterable, Mapping
import dataclasses
import secrets
from typing import Any, Self

from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import fields
from ebackup_service.repository import ids
from ebackup_service.repository import layout
from ebackup_service.repository import pack

KIND = 'repository'
DOMAIN = 'default'
ALGORITHM = 'blake3-keyed'

# Features that this version understands; section "Versions and features".
KNOWN_FEATURES: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Features:
    """Names that who reads, writes or checks has to know."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    check: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """The content of repository.json.

    :ivar key: of the default domain, 32 bytes
    :ivar pack_size: bytes that writers cut packs at
    """

    id: str
    created_at: str
    key: bytes = dataclasses.field(repr=False)
    features: Features = Features()
    pack_size: int = pack.DEFAULT_SIZE

    @classmethod
    def new(cls, repository_id: str, pack_size: int) -> Self:
        """Of a repository that is about to be created, with a new key."""
        if not layout.is_uuid(repository_id):
            raise ValueError(f'not a UUID in lower case: {repository_id!r}')
        _check_pack_size(pack_size)
        return cls(
            id=repository_id,
            created_at=fields.now(),
            key=secrets.token_bytes(ids.KEY_SIZE),
            pack_size=pack_size,
        )

    def to_bytes(self) -> bytes:
        return document.seal(
            KIND,
            {
                'id': self.id,
                'created_at': self.created_at,
                'features': {
                    'read': self.features.read,
                    'write': self.features.write,
                    'check': self.features.check,
                },
                'domains': {
                    DOMAIN: {'algorithm': ALGORITHM, 'key': self.key.hex()}
                },
                'limits': {'pack_size': self.pack_size},
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of to_bytes.

        :raises Corrupt: not valid
        :raises UnsupportedFormat: valid, but not for this version
        """
        content = document.unseal(KIND, layout.REPOSITORY, data)
        try:
            features = _features(fields.mapping(content, 'features'))
            # What follows may have another form if a feature says so.
            require(features.read, 'read')
            return cls(
                id=fields.uuid_text(content, 'id'),
                created_at=fields.text(content, 'created_at'),
                key=_domain_key(fields.mapping(content, 'domains')),
                features=features,
                pack_size=_check_pack_size(
                    fields.number(
                        fields.mapping(content, 'limits'), 'pack_size'
                    )
                ),
            )
        except ValueError as error:
            raise errors.Corrupt(
                KIND, layout.REPOSITORY, str(error)
            ) from error

    def require_write(self) -> None:
        """:raises UnsupportedFormat: who writes must know more."""
        require(self.features.write, 'write to')

    def require_check(self) -> None:
        """:raises UnsupportedFormat: who checks must know more."""
        require(self.features.check, 'check')


def require(features: Iterable[str], purpose: str) -> None:
    """Refuse what needs features that this version doesn't have.

    :raises UnsupportedFormat:
    """
    unknown = sorted(set(features) - KNOWN_FEATURES)
    if unknown:
        raise errors.UnsupportedFormat(
            f'To {purpose} this repository takes features that this version '
            f'does not know: {", ".join(unknown)[:120]}; upgrade'
        )


def _features(content: Mapping[str, Any]) -> Features:
    return Features(
        read=tuple(fields.texts(content, 'read')),
        write=tuple(fields.texts(content, 'write')),
        check=tuple(fields.texts(content, 'check')),
    )


def _domain_key(domains: Mapping[str, Any]) -> bytes:
    domain = fields.mapping(domains, DOMAIN)
    if fields.text(domain, 'algorithm') != ALGORITHM:
        raise errors.UnsupportedFormat(
            'The ids of this repository are made by '
            f'{fields.text(domain, "algorithm")[:40]!r}, which this version '
            'does not know; upgrade'
        )
    key = bytes.fromhex(fields.text(domain, 'key'))
    if len(key) != ids.KEY_SIZE:
        raise ValueError(f'the key has {len(key)} bytes')
    return key


def _check_pack_size(pack_size: int) -> int:
    if not pack.MIN_SIZE <= pack_size <= pack.MAX_SIZE:
        raise ValueError(
            f'pack size {pack_size} is not from {pack.MIN_SIZE} to '
            f'{pack.MAX_SIZE}'
        )
    return pack_size
