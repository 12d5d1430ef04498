# SPDX-License-Identifier: Apache-2.0
"""Which ranges of which images are damaged; see ``messages``.

Ranges are [offset, length] in bytes, disjoint and ascending.
"""

import dataclasses
from typing import Any, Self

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
class Image(messages.Message):
    """An image, and all of it that is damaged.

    :ivar known: in the report of a check, what the catalog knew when that
        asked: it is what the check has looked at again
    """

    SCHEMA = _IMAGE

    image_id: str
    extents: list[list[int]]
    known: list[list[int]] = dataclasses.field(default_factory=list)


def _with_images(document: dict[str, Any]) -> dict[str, Any]:
    images = [Image._build(image) for image in document['images']]
    return {**document, 'images': images}


@dataclasses.dataclass(frozen=True)
class Report(messages.Message):
    """What was found in some images, which may be nothing."""

    SCHEMA = _REPORT

    images: list[Image]

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        return super()._build(_with_images(document))


@dataclasses.dataclass(frozen=True)
class Known(messages.Message):
    """Some of the images of which the catalog knows damage, by id.

    None: there are no more.
    """

    SCHEMA = _KNOWN

    accepted: bool
    images: list[Image] = dataclasses.field(default_factory=list)

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        return super()._build(_with_images(document))


@dataclasses.dataclass(frozen=True)
class Trees(messages.Message):
    """What a check looks at besides the images that it finds."""

    SCHEMA = _TREES

    accepted: bool
    trees: list[messages.TreeSpec] = dataclasses.field(default_factory=list)

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Self:
        trees = [messages.TreeSpec._build(tree) for tree in document['trees']]
        return super()._build({**document, 'trees': trees})
