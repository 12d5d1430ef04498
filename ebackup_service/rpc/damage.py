# SPDX-License-Identifier: Apache-2.0
"""Which ranges of which images are damaged; see ``messages``.

Ranges are [offset, length] in bytes, disjoint and ascending.
"""

import dataclasses

from ebackup_service.rpc import message
from ebackup_service.rpc import messages
from ebackup_service.rpc import schemas

_IMAGE = schemas.record(
    image_id=schemas.ID, extents=schemas.EXTENTS, known=schemas.EXTENTS
)
_REPORT = schemas.record(images=schemas.array(_IMAGE))
_KNOWN = schemas.record(accepted=schemas.FLAG, images=schemas.array(_IMAGE))
_TREES = schemas.record(
    accepted=schemas.FLAG, trees=schemas.array(schemas.TREE)
)


@dataclasses.dataclass(frozen=True)
class Image(message.Message):
    """An image, and all of it that is damaged.

    :ivar known: in the report of a check, what the catalog knew when that
        asked: it is what the check has looked at again
    """

    SCHEMA = _IMAGE

    image_id: str
    extents: list[list[int]]
    known: list[list[int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Report(message.Message):
    """What was found in some images, which may be nothing."""

    SCHEMA = _REPORT
    PARTS = {'images': Image}

    images: list[Image]


@dataclasses.dataclass(frozen=True)
class Known(message.Message):
    """Some of the images of which the catalog knows damage, by id.

    None: there are no more.
    """

    SCHEMA = _KNOWN
    PARTS = {'images': Image}

    accepted: bool
    images: list[Image] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Trees(message.Message):
    """What a check looks at besides the images that it finds."""

    SCHEMA = _TREES
    PARTS = {'trees': messages.TreeSpec}

    accepted: bool
    trees: list[messages.TreeSpec] = dataclasses.field(default_factory=list)
