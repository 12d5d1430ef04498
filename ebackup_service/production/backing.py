# SPDX-License-Identifier: Apache-2.0
"""Whether a file is the content of a loop device.

Such a file has two writers, one of them through a page cache that this process
doesn't see, and the device may be mounted: O_EXCL, which tells that of a
device, means nothing for a file.
"""

from collections.abc import Iterator
import os
import pathlib

_BLOCK_DEVICES = pathlib.Path('/sys/block')


def loop_device_of(path: str, status: os.stat_result) -> str | None:
    """The name of a loop device whose content the file is, such as 'loop0'.

    :param path: without symbolic links
    """
    for name, backing in _loop_devices():
        if backing == path:
            return name
        try:
            if os.path.samestat(os.stat(backing), status):
                return name
        except OSError:
            # Deleted, or out of our reach; it is not the file that we opened.
            continue
    return None


def _loop_devices() -> Iterator[tuple[str, str]]:
    for entry in _BLOCK_DEVICES.glob('loop*/loop/backing_file'):
        try:
            yield entry.parts[-3], entry.read_text().rstrip('\n')
        except OSError:
            continue  # detached meanwhile
