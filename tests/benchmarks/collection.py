# SPDX-License-Identifier: Apache-2.0
"""One collection of a repository, in a process of its own.

    python -m tests.benchmarks.collection build REPOSITORY VOLUME IMAGES
    python -m tests.benchmarks.collection delete REPOSITORY IMAGE

The first makes a chain of so many images of a volume, of which the same runs
are rewritten before each, and collects once, so that the next collection finds
nothing to do but its own. The second deletes one image and collects. Print a
JSON object: ``images`` in the order of the chain; or ``wall`` and ``cpu``
seconds of the collection, ``read`` (bytes that it read), and what it removed.
"""

import dataclasses
import json
import pathlib
import sys
import time
from typing import Any

from ebackup_service.repository import collector
from ebackup_service.repository import liveness
from tests.benchmarks import engine
from tests.benchmarks import sparse

# Spread over the volume: 256 MiB, of which 10 MiB change.
PIECES, PIECE = 64, 4 << 20
RUNS, RUN = 40, 256 << 10  # at most one a piece


def build(repository: str, path: str, number: int) -> dict[str, Any]:
    volume = pathlib.Path(path)
    repo = engine.open_repository(repository)
    changes = pathlib.Path(f'{path}.json')
    starts = range(0, volume.stat().st_size, volume.stat().st_size // PIECES)
    sparse.fill(volume, 0, [(start, PIECE) for start in starts])
    runs = [(start + PIECE // 2, RUN) for start in starts[:RUNS]]
    changes.write_text(json.dumps(runs))
    images: list[str] = []
    for seed in range(number):
        base = None
        if images:
            sparse.fill(volume, seed, runs)
            base = images[-1]
        images.append(
            engine.back_up(repo, path, base, str(changes) if base else None)[
                'image'
            ]
        )
    collect(repo)
    repo.close()
    return {'images': images}


def delete(repository: str, image: str) -> dict[str, Any]:
    repo = engine.open_repository(repository)
    repo.delete_image(image)
    read = _bytes_read()
    cpu, wall = engine.cpu_seconds(), time.monotonic()
    removed = collect(repo)
    answer = {
        'wall': time.monotonic() - wall,
        'cpu': engine.cpu_seconds() - cpu,
        'read': _bytes_read() - read,
        **dataclasses.asdict(removed),
    }
    repo.close()
    return answer


def collect(repo: engine.repository.Repository) -> collector.CollectResult:
    """As a proxy does while nothing else runs."""
    return collector.collect(
        repo, lambda images: liveness.Live(set(), [], set()), lambda: None
    )


def _bytes_read() -> int:
    lines = pathlib.Path('/proc/self/io').read_text().splitlines()
    return int(lines[0].removeprefix('rchar: '))


def main(arguments: list[str]) -> None:
    verb, repository, *more = arguments
    if verb == 'build':
        answer = build(repository, more[0], int(more[1]))
    else:
        answer = delete(repository, more[0])
    print(json.dumps(answer))


if __name__ == '__main__':
    main(sys.argv[1:])
