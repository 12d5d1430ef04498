# SPDX-License-Identifier: Apache-2.0
"""Where an NBD export is, and what the settings of a storage say of it.

Templates have the places {name}, the volume's name on the back end, and
{volume_id}. What is put there is a plain word, so it can't lead elsewhere.
"""

from collections.abc import Mapping
import os
import re
from typing import NamedTuple

from ebackup_service.production import base
from ebackup_service.production import errors

_PLACE = r'\{(?:name|volume_id)\}'
_TEXT = rf'(?:[A-Za-z0-9_.~:@+-]|{_PLACE})'
# No step of a path is '.' or '..'.
PATH = rf'(?:/(?!\.\.?(?:[/?]|$)){_TEXT}+)+'
# Of a volume's image: one can't be every volume's, so there is a place in it.
FILE = rf'^(?=.*{_PLACE}){PATH}\Z'
_EXPORT = rf'(?:{_TEXT}|/)*'
_HOST = r'(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?'
URI = (
    rf'^(?=.*{_PLACE})(?:'
    rf'nbds?://{_HOST}/{_EXPORT}|'
    rf'nbds?\+unix:///{_EXPORT}\?socket={PATH})\Z'
)
_PARTS = re.compile(
    r'(?P<scheme>nbds?)(?:'
    r'\+unix:///(?P<unix_export>[^?]*)\?socket=(?P<socket>.*)|'
    r'://(?P<host>\[[^]]*\]|[^/:]*)(?::(?P<port>[0-9]+))?/(?P<export>.*))'
)
_PORT = 10809
_WORD = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,254}')


class Address(NamedTuple):
    """Of one export.

    socket: path of a UNIX socket, or '' where host and port count
    """

    export: str
    socket: str
    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        scheme = 'nbds' if self.tls else 'nbd'
        if self.socket:
            return f'{scheme}+unix:///{self.export}?socket={self.socket}'
        host = f'[{self.host}]' if ':' in self.host else self.host
        return f'{scheme}://{host}:{self.port}/{self.export}'


def places(reference: base.Reference) -> dict[str, str]:
    """What is put into a template.

    :raises VolumeUnknown: Cinder's name for the volume is none
    """
    found = {'volume_id': reference.volume_id, 'name': reference.name or ''}
    for place, word in found.items():
        if word and not _WORD.fullmatch(word):
            raise errors.VolumeUnknown(
                f'{word[:64]!r}, the {place} of volume '
                f'{reference.volume_id[:64]!r}, has characters that can not '
                'be part of the name of an NBD export'
            )
    return found


def fill(template: str, words: Mapping[str, str]) -> str:
    """:raises VolumeUnknown: a word is missing that the template has"""
    for place, word in words.items():
        if f'{{{place}}}' in template and not word:
            raise errors.VolumeUnknown(
                f'the {place} of volume {words["volume_id"]} is not known, '
                f'which {template} has a place for'
            )
        template = template.replace(f'{{{place}}}', word)
    return template


def address(template: str, words: Mapping[str, str]) -> Address:
    """:param template: that matches URI"""
    parts = _PARTS.fullmatch(template)
    assert parts is not None, template
    export = parts['unix_export'] or parts['export'] or ''
    return Address(
        fill(export, words),
        fill(parts['socket'] or '', words),
        (parts['host'] or '').strip('[]'),
        int(parts['port'] or _PORT),
        parts['scheme'] == 'nbds',
    )


def allowed_socket(path: str, roots: list[str]) -> str:
    """The real path of a UNIX socket.

    :raises PathForbidden: it is not below one of the roots
    """
    real = os.path.realpath(path)
    for root in roots:
        top = os.path.realpath(root)
        if os.path.commonpath([top, real]) == top:
            return real
    raise errors.PathForbidden(
        f'the socket {path} is not below a directory of [nbd] socket_roots '
        'on this proxy: move it, or add its directory there'
    )
