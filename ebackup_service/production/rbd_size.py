# SPDX-License-Identifier: Apache-2.0
"""Whether an image of Ceph has the size of a volume of Cinder's."""

from typing import Any

from ebackup_service.production import errors

_GIB = 1 << 30


def of_volume(image: Any, name: str, size: int) -> int:
    """The image's bytes, if they can be those of the volume.

    Cinder counts whole GiB. The image of an encrypted volume has the header
    besides; one that was managed may have had less.

    :param image: rbd.Image
    :param name: of the image, for the error
    :param size: of the volume by Cinder's count, bytes
    :raises SizeMismatch: it differs by a GiB or more
    """
    found = int(image.size())
    if abs(found - size) >= _GIB:
        raise errors.SizeMismatch(
            f'{name} has {found} bytes, the volume {size}: '
            'is it the right volume?'
        )
    return found
