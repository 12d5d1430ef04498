# SPDX-License-Identifier: Apache-2.0
"""What has to be done before an image of Ceph is closed."""

import contextlib
from typing import Any


def release_lock(image: Any) -> None:
    """Give back the exclusive lock that an image was written under.

    What others ask of the owner of a lock, such as to remove a snapshot, is
    done until the lock is released. If that comes with closing, and not
    before, librbd 16 now and then aborts the process.

    If it fails, the image has to be closed all the same.

    :param image: rbd.Image
    """
    # rbd's errors have no base in common with others, and rbd may be absent.
    with contextlib.suppress(Exception):
        if image.is_exclusive_lock_owner():
            image.lock_release()
