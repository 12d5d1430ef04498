# SPDX-License-Identifier: Apache-2.0
"""Run a command as a user of its own, who sees one directory.

    confine.py UID GID GROUP[,GROUP...] DIRECTORY COMMAND [ARGUMENT]...

The user is a bare number without a name, home or privilege. He has to reach
DIRECTORY, which may lie below a place that is closed to him, as /root is. We
do not open that place. The command gets a mount namespace of its own, in
which an empty directory that everybody may pass lies over the first closed
one, and DIRECTORY alone, with what is mounted in it, is put back where it
was. Nobody else notices.

Run as root. The command replaces this program: same process id, same session.
"""

import ctypes
import os
import pathlib
import sys

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode(),
        ctypes.c_ulong(flags),
        data.encode(),
    )
    _checked(result, f'mount {target}')


def _passable(path: pathlib.Path, user: int, groups: list[int]) -> bool:
    status = path.stat()
    if status.st_uid == user:
        return bool(status.st_mode & 0o100)
    if status.st_gid in groups:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def reveal(directory: pathlib.Path, user: int, groups: list[int]) -> None:
    """Let the user reach the directory, in a namespace of our own."""
    closed = [
        parent
        for parent in reversed(directory.parents)
        if not _passable(parent, user, groups)
    ]
    if not closed:
        return
    _checked(_libc.unshare(_CLONE_NEWNS), 'unshare')
    # What is mounted here stays here; what is unmounted outside goes away.
    _mount('none', '/', '', _MS_REC | _MS_SLAVE, '')
    # By now a descriptor of this namespace; it stays valid when the path to
    # the directory is covered.
    held = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    _mount('none', str(closed[0]), 'tmpfs', 0, 'mode=0755,size=64k')
    directory.mkdir(parents=True)
    _mount(f'/proc/self/fd/{held}', str(directory), '', _MS_BIND | _MS_REC, '')
    os.close(held)


def main(arguments: list[str]) -> None:
    user, group = int(arguments[0]), int(arguments[1])
    groups = [int(number) for number in arguments[2].split(',')]
    directory = pathlib.Path(arguments[3]).resolve()
    os.umask(0o022)
    reveal(directory, user, [group, *groups])
    # Also leaves a working directory that may be covered by now.
    os.chdir(directory)
    os.setgroups(groups)
    os.setgid(group)
    os.setuid(user)
    os.execv(arguments[4], arguments[4:])


if __name__ == '__main__':
    main(sys.argv[1:])
