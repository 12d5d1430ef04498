# SPDX-License-Identifier: Apache-2.0
"""An image in Ceph, and jobs of the engine on it."""

import pathlib
import shutil

from tests.benchmarks import cache
from tests.benchmarks import contest
from tests.benchmarks import images
from tests.benchmarks import process


class Image:
    """One with a repository of its own.

    :ivar name: in its pool
    """

    def __init__(
        self,
        cluster: images.Cluster,
        place: pathlib.Path,
        name: str,
        size: int,
        content: images.Pieces,
    ) -> None:
        """Make it, with that content.

        :param place: directory of the repository
        :param size: bytes
        """
        print(f'making image {name}', flush=True)
        self.name = name
        self._cluster = cluster
        self._repository = place / f'repository-{name}'
        self._size = size
        self._base = ''
        cluster.create(name, size)
        self.write(content)

    def write(self, pieces: images.Pieces) -> None:
        with self._cluster.image(self.name) as image:
            images.write(image, pieces)

    def check(self, pieces: images.Pieces) -> None:
        with self._cluster.image(self.name) as image:
            images.check(image, pieces)

    def make_base(self) -> None:
        """Back it up; its snapshot is the anchor from then on."""
        self._base = self._run('anchor')['image']

    def forget(self) -> None:
        """Remove what was stored of it."""
        shutil.rmtree(self._repository)

    def run(self, job: str) -> contest.Figures:
        """What a job takes; see rbd_job.py."""
        cache.settle()
        with self._cluster.serving() as serving:
            answer = self._run(job)
        statistics = answer['statistics']
        return {
            **answer['process'],
            'engine': {
                'wall_seconds': answer['wall'],
                'cpu_seconds': answer['cpu'],
                **statistics,
            },
            'read_bytes': statistics['bytes_read'],
            **serving,
        }

    def _run(self, job: str) -> contest.Figures:
        return process.run(
            *('rbd_job', job, self._cluster.storage, self._repository),
            *(self.name, str(self._size)),
            *([self._base] if self._base else []),
        )
