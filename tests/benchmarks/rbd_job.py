# SPDX-License-Identifier: Apache-2.0
"""One job of the engine on an image in Ceph, in a process of its own.

    python -m tests.benchmarks.rbd_job JOB STORAGE REPOSITORY IMAGE SIZE [BASE]

STORAGE is a file with what the storage is registered with, SIZE the image's,
in bytes. JOB is one of

anchor   first backup, whose snapshot stays
full     first backup, whose snapshot does not
next     backup of what changed since BASE, the id of what ``anchor`` has made
restore  of BASE, in place: what changed since is written back

Prints a JSON object as engine.py does. The seconds go from connecting to Ceph,
as for each job of a proxy, to the committed image or the flushed volume.
"""

from collections.abc import Iterator
import contextlib
import json
import pathlib
import sys
import time
from typing import Any

from ebackup_service.engine import control
from ebackup_service.engine import crew
from ebackup_service.engine import progress
from ebackup_service.engine import restore
from ebackup_service.production import base as production
from ebackup_service.production import rbd
from ebackup_service.production import rbd_library
from ebackup_service.repository import repository
from tests.benchmarks import engine
from tests.benchmarks import process
from tests import debian

ANCHOR = 'anchor'


class Job:
    """Of one image.

    :param size: bytes
    :param base: id of the image whose snapshot is the anchor
    """

    def __init__(
        self,
        storage: pathlib.Path,
        repo: repository.Repository,
        image: str,
        size: int,
        base: str | None,
    ) -> None:
        known = json.loads(storage.read_text())
        self._storage = rbd.RbdStorage(
            rbd_library.load(), known['settings'], known['credentials']
        )
        self._repo = repo
        self._image = image
        self._size = size
        self._base = base

    def back_up(self, name: str) -> dict[str, Any]:
        """:param name: of the snapshot that is taken and read"""
        with _measured() as answer, self._lun() as lun:
            since = None if self._base is None else self._anchor(lun)
            snapshot = lun.take_snapshot(name)
            source = lun.open_source(self._size, snapshot, since)
            with contextlib.closing(source):
                answer |= engine.store(self._repo, source, self._base)
        return answer

    def restore(self) -> dict[str, Any]:
        assert self._base is not None
        tree = self._repo.tree(self._repo.root(self._base))
        with (
            _measured() as answer,
            self._lun() as lun,
            contextlib.closing(
                lun.open_target(self._size, volume_is_new=False)
            ) as target,
            contextlib.closing(
                lun.open_source(self._size, None, self._anchor(lun))
            ) as source,
        ):
            statistics = restore.run_restore(
                self._repo,
                tree,
                target,
                False,
                crew.default_size(),
                control.Control(),
                progress.Progress(tree.size),
                known=restore.Known(tree, source),
            )
            answer |= {'image': self._base, 'statistics': statistics}
        return answer

    def drop(self, name: str) -> None:
        with self._lun() as lun:
            snapshot = lun.find_snapshot(name)
            if snapshot is not None:
                lun.drop_snapshot(snapshot)

    def close(self) -> None:
        self._storage.close()

    @contextlib.contextmanager
    def _lun(self) -> Iterator[production.Lun]:
        reference = production.Reference('benchmark', name=self._image)
        with contextlib.closing(self._storage.find(reference)) as lun:
            yield lun

    def _anchor(self, lun: production.Lun) -> production.Snapshot:
        found = lun.find_snapshot(ANCHOR)
        if found is None:
            raise process.Failure(f'image {self._image} has no anchor')
        return found


@contextlib.contextmanager
def _measured() -> Iterator[dict[str, Any]]:
    """Gets ``wall`` and ``cpu`` at its end."""
    answer: dict[str, Any] = {}
    cpu, wall = engine.cpu_seconds(), time.monotonic()
    yield answer
    answer['wall'] = time.monotonic() - wall
    answer['cpu'] = engine.cpu_seconds() - cpu


def main(arguments: list[str]) -> None:
    verb, storage, place, image, size, *base = arguments
    debian.need('python3-rados', 'rados')
    debian.need('python3-rbd', 'rbd')
    repo = engine.open_repository(place)
    job = Job(
        pathlib.Path(storage),
        repo,
        image,
        int(size),
        base[0] if base else None,
    )
    if verb == 'restore':
        answer = job.restore()
    elif verb == ANCHOR:
        answer = job.back_up(ANCHOR)
    else:
        answer = job.back_up(verb)
        job.drop(verb)
    job.close()
    repo.close()
    print(json.dumps(answer))


if __name__ == '__main__':
    main(sys.argv[1:])
