# SPDX-License-Identifier: Apache-2.0
"""Volumes in memory and a repository in a directory, for the pipelines' tests.

The repository is the real one; sources and targets stand at the boundary that
the engine owns, so that tests can say what a change source says, and fail.
"""

import os
import random
import uuid

import fixtures

from ebackup_service.engine import backup
from ebackup_service.engine import control
from ebackup_service.engine import progress
from ebackup_service.engine import restore
from ebackup_service.production import base as production
from ebackup_service.production import memory
from ebackup_service.repository import layout
from ebackup_service.repository import repository
from ebackup_service.repository import root
from ebackup_service.repository.storage import registry
from ebackup_service.repository import tree
from tests import base

CHUNK = 4096  # the smallest that there is, so that leaves are small
LEAF = 256 * CHUNK
# The engine's sizes, as many chunks as by default.
SIZES = {
    'backup_leaf.READ_SIZE': LEAF // 4,
    'restore_leaf.IO_SIZE': LEAF // 4,
    'restore_leaf.ZERO_SIZE': LEAF,
    'restore.HOLE_SIZE': 4 * LEAF,
}

DATA = production.ExtentKind.DATA
HOLE = production.ExtentKind.HOLE
UNCHANGED = production.ExtentKind.UNCHANGED


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class MemorySource:
    """Bytes as a volume.

    :param named: (offset, length, kind) of the extents; all DATA by default
    :ivar reads: (offset, length) of each read
    """

    def __init__(self, content, named=None, gaps=HOLE):
        self.content = content
        self.size = len(content)
        self.gaps = gaps
        self.waits = False
        self.memory = memory.NOTHING
        self._named = [(0, self.size, DATA)] if named is None else named
        self.reads = []
        self.expected = []
        self.before_read = lambda: None
        self.confirm = lambda: None

    def extents(self):
        for extent in self._named:
            yield production.Extent(*extent)

    def expect(self, offset, length):
        self.expected.append((offset, length))

    def read(self, offset, buffer):
        self.before_read()
        self.reads.append((offset, len(buffer)))
        buffer[:] = self.content[offset : offset + len(buffer)]
        return buffer

    @property
    def bytes_read(self):
        return sum(length for _, length in self.reads)

    def close(self):
        pass


class SharedSource(MemorySource):
    """One whose memory is read where it is."""

    def read(self, offset, buffer):
        super().read(offset, bytearray(len(buffer)))
        return memoryview(self.content)[offset : offset + len(buffer)]


class MemoryTarget:
    """Bytes to be restored to, with a record of what was done to them."""

    alignment = 512

    def __init__(self, content, truncated=False):
        self.content = bytearray(content)
        self.size = len(content)
        self.truncated = truncated
        self.reads = []
        self.writes = []
        self.zeroed = []
        self.flushed = 0
        self.before_write = lambda: None

    def read_into(self, offset, buffer):
        self.reads.append((offset, len(buffer)))
        buffer[:] = self.content[offset : offset + len(buffer)]

    def write(self, offset, buffer):
        self.before_write()
        assert offset + len(buffer) <= self.size
        self.writes.append((offset, len(buffer)))
        self.content[offset : offset + len(buffer)] = buffer

    def zero(self, offset, length):
        self.before_write()
        assert offset + length <= self.size
        self.zeroed.append((offset, length))
        self.content[offset : offset + length] = bytes(length)

    def flush(self):
        self.flushed += 1

    def close(self):
        pass


class EngineTestCase(base.BaseTestCase):
    WORKERS = 2
    PACK_SIZE = LEAF // 2  # small, so that there are several

    def setUp(self):
        super().setUp()
        for name, value in SIZES.items():
            self.useFixture(
                fixtures.MockPatch(f'ebackup_service.engine.{name}', value)
            )
        self.directory = self.useFixture(fixtures.TempDir()).path
        storage = registry.open_storage(f'file://{self.directory}')
        self.repo = repository.Repository.create(
            storage, pack_size=self.PACK_SIZE
        )
        self.addCleanup(self.repo.close)
        self.generation = 0
        self.control = control.Control()

    def back_up(
        self,
        source,
        base=None,
        chunk_size=CHUNK,
        session_id=None,
        **resuming,
    ):
        """Returns (image's tree, BackupResult)."""
        if isinstance(source, bytes | bytearray):
            source = MemorySource(source)
        self.generation += 1
        self.progress = progress.Progress(source.size)
        self.session = self.repo.session(
            session_id or str(uuid.uuid4()), self.generation
        )
        result = backup.run_backup(
            source,
            self.repo,
            self.session,
            base,
            chunk_size,
            self.WORKERS,
            self.control,
            self.progress,
            **resuming,
        )
        self.image_id = str(uuid.uuid4())
        self.session.commit_candidate(
            root.Root(
                self.image_id,
                root.Chain('project', 'volume'),
                self.generation,
                source.size,
                chunk_size,
                result.tree,
            )
        )
        self.session.mark_committed(self.image_id)
        return (
            tree.Tree(self.repo, result.tree, source.size, chunk_size),
            result,
        )

    def damage(self, where):
        """Change a record; twice is not at all."""
        path = os.path.join(self.directory, layout.pack_key(where.pack))
        os.chmod(path, 0o600)
        with open(path, 'r+b') as file:
            file.seek(where.offset + 70)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))

    def restore(self, image, target, volume_is_new=False, **values):
        self.progress = progress.Progress(image.size)
        return restore.run_restore(
            self.repo,
            image,
            target,
            volume_is_new,
            self.WORKERS,
            self.control,
            self.progress,
            **values,
        )

    def content(self, image):
        """What the image holds, by a restore to an emptied file."""
        target = MemoryTarget(bytes(image.size), truncated=True)
        self.restore(image, target)
        return bytes(target.content)

    def assertHolds(self, content, image):
        self.assertEqual(content, self.content(image))
