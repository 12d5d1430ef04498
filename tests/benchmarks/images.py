# SPDX-License-Identifier: Apache-2.0
"""Images in a Ceph, as their users see them."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
from typing import Any
import unittest

from tests.benchmarks import contest
from tests.benchmarks import data
from tests.benchmarks import process
from tests import ceph

Pieces = Iterable[tuple[int, bytes]]  # offsets, and what is there

_PIECE = 4 << 20


@contextlib.contextmanager
def cluster(home: pathlib.Path) -> Iterator['Cluster']:
    """A Ceph in a directory that is made for it, and removed.

    :raises Failure: there can be none
    """
    _need()
    home.mkdir()
    started = ceph.Ceph(home)
    try:
        print('starting a Ceph', flush=True)
        started.start()
        yield Cluster(started)
    finally:
        started.destroy()


class Cluster:
    """What benchmarks do with a Ceph.

    :ivar storage: file with what the service would have of it
    :ivar conf: the administrator's
    """

    def __init__(self, started: ceph.Ceph) -> None:
        self.conf = started.conf
        self.storage = started.home / 'storage.json'
        self.storage.touch(mode=0o600)
        self.storage.write_text(
            json.dumps(
                {
                    'settings': started.settings(),
                    'credentials': started.credentials(),
                }
            )
        )
        self._ceph = started

    def create(self, name: str, size: int) -> None:
        """An empty image with the features that Ceph gives by default."""
        self._ceph.rbd('create', '--size', f'{size}B', f'{ceph.POOL}/{name}')

    @contextlib.contextmanager
    def image(self, name: str) -> Iterator[Any]:
        with opened(self.conf, ceph.POOL, name) as image:
            yield image

    def take_snapshot(self, name: str, snapshot: str) -> str:
        """What "rbd" calls it."""
        path = f'{ceph.POOL}/{name}@{snapshot}'
        self._ceph.rbd('snap', 'create', '--no-progress', path)
        return path

    @contextlib.contextmanager
    def serving(self) -> Iterator[contest.Figures]:
        """Gets what the OSD has sent to clients, and what that took it."""
        figures: contest.Figures = {}
        served, spent = self._served(), self._spent()
        yield figures
        figures['served_bytes'] = self._served() - served
        figures['osd_cpu_seconds'] = self._spent() - spent

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """It has half of the cores; whom this process starts, the others.

        :raises Failure: there is only one
        """
        every = os.sched_getaffinity(0)
        own = set(sorted(every)[: len(every) // 2])
        if not own:
            raise process.Failure('it takes two cores')
        self._ceph.confine(own)
        os.sched_setaffinity(0, every - own)
        try:
            yield
        finally:
            os.sched_setaffinity(0, every)
            self._ceph.confine(every)

    def _served(self) -> int:
        return self._ceph.counter('op_out_bytes')

    def _spent(self) -> float:
        return process.cpu_seconds(self._ceph.osd_pid)


@contextlib.contextmanager
def opened(conf: pathlib.Path, pool: str, name: str) -> Iterator[Any]:
    """An image, open to be read and written by the administrator.

    :raises Failure: there is no library for that
    """
    _need()
    import rados
    import rbd

    with (
        rados.Rados(
            conffile=str(conf), conf={'rbd_cache': 'false'}
        ) as connection,
        connection.open_ioctx(pool) as context,
        rbd.Image(context, name) as image,
    ):
        yield image


def write(image: Any, pieces: Pieces) -> None:
    for offset, content in pieces:
        image.write(content, offset)
    image.flush()


def check(image: Any, pieces: Pieces) -> None:
    """:raises Failure: the image has something else there"""
    for offset, content in pieces:
        if image.read(offset, len(content)) != content:
            raise process.Failure(
                f'the image differs between bytes {offset} and '
                f'{offset + len(content)}'
            )


def of_file(path: pathlib.Path) -> Pieces:
    """What is data in it."""
    with path.open('rb') as file:
        size = path.stat().st_size
        for start, end in data.extents(file.fileno(), size):
            for offset in range(start, end, _PIECE):
                file.seek(offset)
                yield offset, file.read(min(_PIECE, end - offset))


def of_chunks(path: pathlib.Path, numbers: Iterable[int]) -> Pieces:
    """Some chunks of a file."""
    with path.open('rb') as file:
        for number in numbers:
            file.seek(number * data.CHUNK)
            yield number * data.CHUNK, file.read(data.CHUNK)


def _need() -> None:
    try:
        ceph.need()
    except (unittest.SkipTest, AssertionError) as lacking:
        raise process.Failure(str(lacking)) from lacking
