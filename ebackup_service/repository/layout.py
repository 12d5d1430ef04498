# SPDX-License-Identifier: Apache-2.0
"""Keys of objects; section "Keys" of the format."""

import re
import uuid

from ebackup_service.repository import location

REPOSITORY = 'repository.json'
OWNER = 'owner.json'
PACKS = 'packs/'
IMAGES = 'images/'
TOMBSTONES = 'tombstones/'
ACCOUNTS = 'accounts/'
COMPACTED = 'compacted/'

ROOT = 'root'
COMMIT = 'commit'

_UUID = r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
_IS_UUID = re.compile(_UUID)
_PACK = re.compile(rf'packs/([0-9a-f]{{2}})/({_UUID})/([dp])-([0-9a-f]{{8}})')
_COMPACTED = re.compile(
    rf'compacted/([0-9a-f]{{2}}/{_UUID}/d-[0-9a-f]{{8}})/'
    '[0-9a-f]{8}-[0-9a-f]{64}'
)
_IMAGE = re.compile(rf'images/({_UUID})/({ROOT}|{COMMIT})')
_TOMBSTONE = re.compile(rf'tombstones/({_UUID})')
_ACCOUNT = re.compile('accounts/[0-9a-f]{64}')
_SESSION = re.compile(rf'packs/[0-9a-f]{{2}}/({_UUID})/.*')
_LETTERS = {location.DATA: 'd', location.PAGE: 'p'}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


def is_uuid(text: str) -> bool:
    """Whether it is a UUID as keys have it: lower case, with hyphens."""
    return _IS_UUID.fullmatch(text) is not None


def session_bytes(session_id: str) -> bytes:
    """The 16 bytes of a session's id.

    :raises ValueError: it is no UUID in lower case with hyphens
    """
    if not is_uuid(session_id):
        raise ValueError(f'not a UUID in lower case: {session_id!r}')
    return uuid.UUID(session_id).bytes


def session_prefix(session_id: str) -> str:
    return f'{PACKS}{session_id[:2]}/{session_id}/'


def pack_key(address: location.PackAddress) -> str:
    session_id = str(uuid.UUID(bytes=address.session))
    return (
        f'{PACKS}{session_id[:2]}/{session_id}/'
        f'{_LETTERS[address.kind]}-{address.ordinal:08x}'
    )


def parse_pack(key: str) -> location.PackAddress | None:
    """The address that a key stands for, None if it names no pack."""
    match = _PACK.fullmatch(key)
    if match is None or match[1] != match[2][:2]:
        return None
    return location.PackAddress(
        uuid.UUID(match[2]).bytes, _KINDS[match[3]], int(match[4], 16)
    )


def parse_session(key: str) -> str | None:
    """The session that a key below packs/ belongs to."""
    match = _SESSION.fullmatch(key)
    return None if match is None else match[1]


def compacted_prefix(address: location.PackAddress) -> str:
    """Below it is what compaction has left of a pack."""
    return f'{COMPACTED}{pack_key(address).removeprefix(PACKS)}/'


def compacted_key(
    address: location.PackAddress, number: int, digest: str
) -> str:
    """Keys of one pack are ordered by the number first.

    :param number: u32
    :param digest: of the bytes of the object, hex
    """
    return f'{compacted_prefix(address)}{number:08x}-{digest}'


def parse_compacted(key: str) -> location.PackAddress | None:
    """The pack of which an object is what compaction has left."""
    match = _COMPACTED.fullmatch(key)
    return None if match is None else parse_pack(f'{PACKS}{match[1]}')


def compacted_name(key: str) -> tuple[int, str]:
    """(number, digest) in a key that compacted_key made."""
    number, digest = key.rpartition('/')[2].split('-')
    return int(number, 16), digest


def root_key(image_id: str) -> str:
    return f'{IMAGES}{_checked(image_id)}/{ROOT}'


def commit_key(image_id: str) -> str:
    return f'{IMAGES}{_checked(image_id)}/{COMMIT}'


def tombstone_key(image_id: str) -> str:
    return f'{TOMBSTONES}{_checked(image_id)}'


def account_key(digest: str) -> str:
    """:param digest: of the bytes of the account, hex"""
    return f'{ACCOUNTS}{digest}'


def is_account(key: str) -> bool:
    return _ACCOUNT.fullmatch(key) is not None


def parse_image(key: str) -> tuple[str, str] | None:
    """(image id, ROOT or COMMIT) that a key stands for."""
    match = _IMAGE.fullmatch(key)
    return None if match is None else (match[1], match[2])


def parse_tombstone(key: str) -> str | None:
    """The image id that a key stands for."""
    match = _TOMBSTONE.fullmatch(key)
    return None if match is None else match[1]


def is_object(key: str) -> bool:
    """Whether a key is one of those that a repository has."""
    return (
        key in (REPOSITORY, OWNER)
        or is_account(key)
        or parse_image(key) is not None
        or parse_tombstone(key) is not None
        or parse_pack(key) is not None
        or parse_compacted(key) is not None
    )


def _checked(image_id: str) -> str:
    if not is_uuid(image_id):
        raise ValueError(f'not a UUID in lower case: {image_id!r}')
    return image_id
