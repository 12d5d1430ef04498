# SPDX-License-Identifier: Apache-2.0
"""Which images need a damaged chunk, and where."""

from collections.abc import Iterator
from typing import Any

from ebackup_service.repository import damage
from ebackup_service.repository import layout
from ebackup_service.repository import page

# Offsets of one image that are told of one chunk, and images that a sentence
# names.
_OFFSETS = 10
_NAMED = 3


class TouchedImages:
    """Of the damaged records that are told; belongs to one thread."""

    def __init__(self, records: damage.DamagedRecords) -> None:
        self._records = records
        # place of a record -> image -> offsets in the volume, bytes
        self._images: dict[damage.Place, dict[str, list[int]]] = {}

    def add(
        self,
        image_id: str,
        leaf: page.Page,
        chunks: page.Mask,
        chunk_size: int,
    ) -> None:
        """Note an image's leaf, and which of its chunks are damaged."""
        for slot in chunks.nonzero()[0].tolist():
            where = leaf.locator(slot)
            place = where.pack, where.offset
            if place not in self._records.told:
                continue
            offsets = self._images.setdefault(place, {}).setdefault(
                image_id, []
            )
            offset = (leaf.index * page.FANOUT + slot) * chunk_size
            if len(offsets) < _OFFSETS and offset not in offsets:
                offsets.append(offset)

    def problems(self) -> Iterator[str]:
        """A sentence for each record that some image needs."""
        for place, told in self._records.told.items():
            images = self._images.get(place)
            if images is None:
                continue
            named = [
                f'image {image_id}, bytes from {offsets[0]}'
                for image_id, offsets in list(images.items())[:_NAMED]
            ]
            if len(images) > _NAMED:
                named.append(f'{len(images) - _NAMED} more images')
            yield f'{told.error} ({"; ".join(named)})'

    def to_json(self) -> list[dict[str, Any]]:
        """The same as documents, with all images."""
        return [
            {
                'pack': layout.pack_key(place[0]),
                'offset': place[1],
                'id': told.id.hex(),
                'reason': told.error.reason,
                'images': [
                    {'image_id': image_id, 'offsets': offsets}
                    for image_id, offsets in self._images[place].items()
                ],
            }
            for place, told in self._records.told.items()
            if place in self._images
        ]
