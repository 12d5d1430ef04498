# SPDX-License-Identifier: Apache-2.0
"""Small JSON objects with a checksum; section "Documents" of the format."""

from collections.abc import Mapping
import json
import re
from typing import Any

import blake3

from ebackup_service.repository import errors
from ebackup_service.repository.storage import base
from ebackup_service.repository import unreadable

VERSION = 1
MAX_SIZE = 16 * 1024 * 1024

_CONTEXT = 'ebackup repository 1 document'
_FIRST_LINE = re.compile(
    rb'\{"ebackup":"([a-z]{1,16})","version":([1-9][0-9]{0,8}),'
    rb'"length":(0|[1-9][0-9]{0,8}),"checksum":"([0-9a-f]{64})"\}'
)
# More than the first line ever takes, of any version to come.
_VERSION = re.compile(rb'\{"ebackup":"([a-z]{1,16})","version":([0-9]{1,9}),')


def seal(kind: str, content: Mapping[str, Any]) -> bytes:
    """The bytes of a document.

    :raises ValueError: the content is no JSON, or too long
    """
    body = json.dumps(
        content,
        allow_nan=False,
        ensure_ascii=False,
        separators=(',', ':'),
        sort_keys=True,
    ).encode()
    head = (
        f'{{"ebackup":"{kind}","version":{VERSION},"length":{len(body)},'
        f'"checksum":"{_checksum(kind, body)}"}}\n'
    ).encode()
    if len(head) + len(body) >= MAX_SIZE:
        raise ValueError(
            f'a {kind} document of {len(body)} bytes is too long; at most '
            f'{MAX_SIZE} are allowed'
        )
    return head + body + b'\n'


def unseal(kind: str, name: str, data: bytes) -> dict[str, Any]:
    """The content of a document.

    :param kind: what it must be
    :param name: of the object, for messages
    :raises Corrupt: it isn't, or isn't what was written
    :raises UnsupportedFormat: it has a newer format
    """
    head, _, rest = data.partition(b'\n')
    damage = _damage(kind, head, rest)
    version = _VERSION.match(head)
    newer = (
        version is not None
        and version[1] == kind.encode()
        and int(version[2]) > VERSION
    )
    if newer and damage:
        raise errors.UnsupportedFormat(
            f'{name} has a format newer than {VERSION}; upgrade to read this '
            'repository'
        )
    if newer or damage:
        # The checksum of a newer one isn't made like ours.
        raise errors.Corrupt(kind, name, damage or 'wrong version')
    try:
        content = json.loads(rest.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise errors.Corrupt(kind, name, f'no JSON ({error})') from error
    if not isinstance(content, dict):
        raise errors.Corrupt(kind, name, 'no JSON object')
    return content


def read(storage: base.Storage, kind: str, key: str) -> dict[str, Any]:
    """The content of a document on a storage, see unseal().

    :raises ObjectMissing:
    """
    return unseal(kind, key, read_bytes(storage, kind, key))


def read_bytes(
    storage: base.Storage, kind: str, key: str, fresh: bool = False
) -> bytes:
    """The bytes of a document, not validated but for their number.

    :param fresh: not from a cache of this host
    :raises Corrupt: there are more than a document may have, or they can't
        be read
    :raises ObjectMissing:
    """

    def read() -> bytes:
        if storage.size(key) > MAX_SIZE:
            raise errors.Corrupt(kind, key, 'too long for a document')
        return storage.read(key, fresh)

    return unreadable.attempt(storage, kind, key, read)


def digest(data: bytes) -> str:
    """The hash by which one document names the bytes of another."""
    return blake3.blake3(data).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no number')


def _damage(kind: str, head: bytes, rest: bytes) -> str:
    """What is wrong with a document but its version, '' if nothing is."""
    first = _FIRST_LINE.fullmatch(head)
    if first is None or first[1] != kind.encode():
        return 'no such document'
    body = rest[:-1]
    if rest[-1:] != b'\n' or len(body) != int(first[3]):
        return 'wrong length'
    if _checksum(kind, body) != first[4].decode():
        return 'wrong checksum'
    return ''


def _checksum(kind: str, body: bytes) -> str:
    hasher = blake3.blake3(derive_key_context=_CONTEXT)
    hasher.update(f'{kind}\n{VERSION}\n'.encode())
    hasher.update(body)
    return hasher.hexdigest()
