# SPDX-License-Identifier: Apache-2.0
"""Encrypts the credentials of production storages.

The keys are Fernet's, one a line of a file: the first one encrypts, all
decrypt. The file is read at each use, so that a new key needs no restart.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import json
import os
import stat
import tempfile
from typing import Any

from cryptography import fernet
from oslo_config import cfg
import sqlalchemy as sa

from ebackup_service.server import errors

Credentials = dict[str, Any]

_DEFAULT_NAME = 'ebackup.keys'
_MAKE = 'make it with "ebackup-manage storage create-key"'


class KeyUnusable(errors.ServerError):
    """The keys are not there, not ours alone, or not the right ones."""

    def __init__(self, message: str) -> None:
        super().__init__('key-unusable', message)


def encrypt(conf: cfg.ConfigOpts, credentials: Credentials) -> str:
    """:raises KeyUnusable: there is no key to encrypt with"""
    if not conf.server.key_file:
        _make_default(conf)
    token = _keys(conf).encrypt(json.dumps(credentials).encode())
    return token.decode()


def decrypt(conf: cfg.ConfigOpts, token: str, storage: str) -> Credentials:
    """What was encrypted for the storage of that name.

    :raises KeyUnusable: no key is the one that it was encrypted with
    """
    keys = _keys(conf)
    try:
        credentials: Credentials = json.loads(keys.decrypt(token))
    except fernet.InvalidToken:
        raise _undecryptable(conf, storage) from None
    return credentials


def reencrypt(conf: cfg.ConfigOpts, token: str, storage: str) -> str:
    """The same, encrypted with the first key.

    :raises KeyUnusable: no key is the one that it was encrypted with
    """
    keys = _keys(conf)
    try:
        return keys.rotate(token).decode()
    except fernet.InvalidToken:
        raise _undecryptable(conf, storage) from None


def create_key(conf: cfg.ConfigOpts) -> str:
    """Put a new key before the others; the path of the file.

    :raises KeyUnusable: the file that is there can't be read
    :raises OSError: it can't be written
    """
    path = _path(conf)
    with _locked(path):
        known = _read(path) if os.path.exists(path) else ''
        if known:
            _parse(path, known)
        _write(path, f'{fernet.Fernet.generate_key().decode()}\n{known}')
    return path


def _path(conf: cfg.ConfigOpts) -> str:
    if conf.server.key_file:
        return str(conf.server.key_file)
    url = sa.engine.make_url(conf.database.connection)
    on_file = url.get_backend_name() == 'sqlite' and 'uri' not in url.query
    if not on_file or not url.database or url.database == ':memory:':
        raise KeyUnusable(
            'Credentials need a key: set [server]key_file, the same for all '
            f'servers and APIs, and {_MAKE}.'
        )
    return os.path.join(os.path.dirname(url.database), _DEFAULT_NAME)


def _make_default(conf: cfg.ConfigOpts) -> None:
    """Make the file beside the catalog, if it is not there."""
    path = _path(conf)
    if os.path.exists(path):
        return
    try:
        with _locked(path):
            if not os.path.exists(path):
                _write(path, f'{fernet.Fernet.generate_key().decode()}\n')
    except OSError as error:
        raise KeyUnusable(
            f'Key file {path} can not be made: {error.strerror}.'
        ) from error


def _keys(conf: cfg.ConfigOpts) -> fernet.MultiFernet:
    path = _path(conf)
    return fernet.MultiFernet(_parse(path, _read(path)))


def _read(path: str) -> str:
    try:
        with open(path, encoding='ascii') as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyUnusable(
                    f'Key file {path} is open to other users (mode '
                    f'{mode:04o}): chmod 600 {path}'
                )
            return file.read()
    except FileNotFoundError:
        raise KeyUnusable(
            f'Key file {path} is missing: {_MAKE}, or put it back if there '
            'was one.'
        ) from None
    except OSError as error:
        raise KeyUnusable(
            f'Key file {path} can not be read: {error.strerror}.'
        ) from error
    except UnicodeDecodeError:
        raise KeyUnusable(
            f'Key file {path} is no text: put it back as it was.'
        ) from None


def _parse(path: str, text: str) -> list[fernet.Fernet]:
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            keys.append(fernet.Fernet(line.strip()))
        except ValueError:
            # which would quote the line
            raise KeyUnusable(
                f'Line {number} of key file {path} is no key: put it back as '
                'it was.'
            ) from None
    if not keys:
        raise KeyUnusable(f'Key file {path} has no key in it: {_MAKE}.')
    return keys


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Let nobody else write a key file in this directory meanwhile."""
    directory = os.open(os.path.dirname(path) or '.', os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(path: str, text: str) -> None:
    """Replace the file, or make it, for its owner alone.

    What root makes is for whoever owns the directory: the service's user.
    """
    directory = os.path.dirname(path) or '.'
    # mkstemp's mode is 0600
    number, temporary = tempfile.mkstemp(
        prefix=f'.{os.path.basename(path)}-', dir=directory
    )
    try:
        with open(number, 'w') as file:
            is_there = os.path.exists(path)
            if is_there or os.geteuid() == 0:
                owner = os.stat(path if is_there else directory)
                os.fchown(number, owner.st_uid, owner.st_gid)
            file.write(text)
            file.flush()
            os.fsync(number)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _undecryptable(conf: cfg.ConfigOpts, storage: str) -> KeyUnusable:
    return KeyUnusable(
        f'No key in {_path(conf)} decrypts the credentials of storage '
        f'{storage!r}: put the key back that they were encrypted with, or set '
        'them anew.'
    )
