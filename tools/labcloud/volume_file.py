# SPDX-License-Identifier: Apache-2.0
"""The file that is a volume, or a snapshot."""

import os
import pathlib

from oslo_concurrency import processutils


def create(path: pathlib.Path, size: int, group: int) -> None:
    """Make a file of so many zero bytes, which takes no space."""
    new = _new(path)
    with open(new, 'xb') as file:
        os.truncate(file.fileno(), size)
    _put(new, path, group)


def copy(source: pathlib.Path, target: pathlib.Path, group: int) -> None:
    """Make or replace the target; instant where blocks can be shared."""
    new = _new(target)
    processutils.execute(
        'cp', '--reflink=auto', '--sparse=auto', str(source), str(new)
    )
    _put(new, target, group)


def extend(path: pathlib.Path, size: int) -> None:
    """Make it larger; a file that has this size or more is left alone."""
    if path.stat().st_size < size:
        os.truncate(path, size)


def _new(path: pathlib.Path) -> pathlib.Path:
    # Under another name until it is complete: a copy may be interrupted.
    new = path.with_name(f'.{path.name}.new')
    new.unlink(missing_ok=True)
    return new


def _put(new: pathlib.Path, path: pathlib.Path, group: int) -> None:
    new.chmod(0o660)
    if os.geteuid() == 0:
        os.chown(new, 0, group)
    new.replace(path)
