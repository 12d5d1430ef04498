# SPDX-License-Identifier: Apache-2.0
"""One job of the engine, in a process of its own, as a proxy runs it.

    python -m tests.benchmarks.engine backup REPOSITORY VOLUME [BASE [LIST]]
    python -m tests.benchmarks.engine restore REPOSITORY VOLUME IMAGE

BASE and IMAGE are ids of images; LIST is a file that names what has changed
since BASE, a JSON list of pairs of offset and length. Prints a JSON object:
``wall`` and ``cpu`` seconds from opening the volume to the committed image or
the flushed volume, ``image`` (its id), ``statistics``.
"""

import contextlib
import json
import os
import resource
import sys
import time
from typing import Any
import uuid

from ebackup_service.engine import backup
from ebackup_service.engine import control
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import progress
from ebackup_service.engine import restore
from ebackup_service.production import attached
from ebackup_service.production import base as production
from ebackup_service.production import named
from ebackup_service.repository import repository
from ebackup_service.repository import root
from ebackup_service.repository.storage import registry
from tests.benchmarks import data

HOST = 'benchmark'


def open_repository(path: str) -> repository.Repository:
    new = not os.path.exists(path)
    storage = registry.open_storage(f'file://{path}', make=True)
    if new:
        return repository.Repository.create(storage)
    return repository.Repository.open(storage)


def volume(path: str) -> production.Lun:
    storage = attached.AttachedStorage([os.path.dirname(path)], HOST)
    attachment = {'kind': 'attached', 'host': HOST, 'path': path}
    return storage.find(production.Reference('benchmark', attachment))


def back_up(
    repo: repository.Repository,
    path: str,
    base_image: str | None,
    changes: str | None,
) -> dict[str, Any]:
    """:param changes: file that lists them; None: compare everything"""
    source = volume(path).open_source(os.path.getsize(path))
    if changes is not None:
        with open(changes) as file:
            source = named.NamedSource(source, json.load(file))
    with contextlib.closing(source):
        return store(repo, source, base_image)


def store(
    repo: repository.Repository,
    source: production.Source,
    base_image: str | None,
) -> dict[str, Any]:
    """From what is open to a committed image."""
    generation = 1
    base = None
    if base_image is not None:
        base_root = repo.root(base_image)
        base = repo.tree(base_root)
        generation = base_root.generation + 1
    image_id = str(uuid.uuid4())
    session = repo.session(str(uuid.uuid4()), generation)
    result = backup.run_backup(
        source,
        repo,
        session,
        base,
        data.CHUNK,
        engine_crew.default_size(source.waits),
        control.Control(),
        progress.Progress(source.size),
    )
    session.commit_candidate(
        root.Root(
            image_id,
            root.Chain('benchmark', 'benchmark'),
            generation,
            source.size,
            data.CHUNK,
            result.tree,
        )
    )
    session.mark_committed(image_id)
    written = session.counters
    return {
        'image': image_id,
        'statistics': {
            **result.statistics,
            'metadata_bytes': written.metadata_bytes,
        },
    }


def run_restore(
    repo: repository.Repository, path: str, image_id: str
) -> dict[str, Any]:
    tree = repo.tree(repo.root(image_id))
    target = volume(path).open_target(tree.size, volume_is_new=True)
    statistics = restore.run_restore(
        repo,
        tree,
        target,
        True,
        engine_crew.default_size(),
        control.Control(),
        progress.Progress(tree.size),
    )
    target.close()
    return {'image': image_id, 'statistics': statistics}


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> None:
    verb, place, path, *image = arguments
    repo = open_repository(place)
    cpu, wall = cpu_seconds(), time.monotonic()
    if verb == 'backup':
        base_image, changes, *_ = [*image, None, None]
        answer = back_up(repo, path, base_image, changes)
    else:
        answer = run_restore(repo, path, image[0])
    answer['wall'] = time.monotonic() - wall
    answer['cpu'] = cpu_seconds() - cpu
    repo.close()
    print(json.dumps(answer))


if __name__ == '__main__':
    main(sys.argv[1:])
