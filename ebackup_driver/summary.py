# SPDX-License-Identifier: Apache-2.0
"""The few figures of an image that Cinder keeps in service_metadata."""

import json

from ebackup_driver import resources

# The column's width; sqlite would not mind, MariaDB does.
LIMIT = 255


def service_metadata(image: resources.Image) -> str:
    """Return a compact JSON text of at most LIMIT characters.

    v: version of this text; kind: full or incremental; read, stored: bytes;
    gen: the image's generation in its chain.
    """
    return json.dumps(
        {
            'v': 1,
            'kind': image.kind,
            'read': image.bytes_read,
            'stored': image.bytes_stored,
            'gen': image.generation,
        },
        separators=(',', ':'),
    )
