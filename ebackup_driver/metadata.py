# SPDX-License-Identifier: Apache-2.0
"""What of a volume's metadata goes into a backup image.

Cinder collects it (BackupDriver.get_metadata) and puts it back; without it a
restored boot volume does not boot, and an encrypted one can't be read.
"""

import json

# Cinder copies every column of the volume's row but restores only names,
# description and the id of the encryption key. This one may hold the CHAP
# secret of the volume's export.
_SECRET_COLUMNS = ('provider_auth',)
_BASE = 'volume-base-metadata'


def without_secrets(text: str | None) -> str | None:
    """Return Cinder's metadata document without credentials."""
    if not text:
        return None
    document = json.loads(text)
    base = document.get(_BASE, {})
    for column in _SECRET_COLUMNS:
        base.pop(column, None)
    return json.dumps(document)
