# SPDX-License-Identifier: Apache-2.0
"""Writes the records by which Cinder imports backups."""

from collections.abc import Iterable
import json
import os
from typing import Any, TextIO

from ebackup_service.api.views import instant
from ebackup_service.server import records


def write(
    stream: TextIO, exported: Iterable[records.Exported], as_json: bool
) -> int:
    """Write one after the other; how many they were.

    As JSON ``{"records": […]}``; else a line each: project, backup, and the
    two values that Cinder's import takes.
    """
    count = 0
    if as_json:
        stream.write('{"records": [')
    for one in exported:
        if as_json:
            stream.write(',\n' if count else '\n')
            stream.write(json.dumps(_document(one), sort_keys=True))
        else:
            words = [one.image.project_id or '-', one.image.id]
            words += [one.backup_service, one.backup_url]
            stream.write(' '.join(words) + '\n')
        count += 1
    if as_json:
        stream.write('\n]}\n')
    return count


def open_new(path: str) -> TextIO:
    """A file that only its owner reads: records name what users have.

    :raises OSError: it exists, or can't be made
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, 'w')


def _document(one: records.Exported) -> dict[str, Any]:
    return {
        'id': one.image.id,
        'project_id': one.image.project_id,
        'volume_id': one.image.volume_id,
        'name': one.image.name,
        'size': one.image.size,
        'created_at': instant.text(one.image.created_at),
        'backup_service': one.backup_service,
        'backup_url': one.backup_url,
    }
