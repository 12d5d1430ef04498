# SPDX-License-Identifier: Apache-2.0
"""A small real repository in a temporary directory, and images in it."""

from collections.abc import Callable, Iterator
import dataclasses
import os
import uuid

import fixtures

from ebackup_service.repository import checker
from ebackup_service.repository import collector
from ebackup_service.repository import compaction
from ebackup_service.repository import damage
from ebackup_service.repository import extents
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import liveness
from ebackup_service.repository import marking
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import repository
from ebackup_service.repository import root as image_root
from ebackup_service.repository import sample
from ebackup_service.repository import session as repository_session
from ebackup_service.repository.storage import base as storage_base
from ebackup_service.repository.storage import nas
from ebackup_service.repository import tree
from ebackup_service.repository import verifier
from tests import base

CHUNK = 4096
LEAF = 256 * CHUNK
# Small, so that a few chunks make several packs.
PACK_SIZE = 128 * 1024
CHAIN = image_root.Chain('project', 'volume')


# What these tests look at doesn't depend on a disk, and a disk that other
# tests use as well makes every sync wait.
_MEMORY = '/dev/shm'
_ENOUGH = 1024 * 1024 * 1024


def _directory() -> str | None:
    """Where to put temporary directories, None: where they are usually."""
    try:
        space = os.statvfs(_MEMORY)
    except OSError:
        return None
    return _MEMORY if space.f_bavail * space.f_frsize > _ENOUGH else None


# Half of a pack, and any number of bytes.
COMPACT = compaction.Limits(0.5, 2**40, lambda count: None)


def new_id() -> str:
    return str(uuid.uuid4())


def nothing_to_check() -> None:
    """The check of a job that nobody stops."""


def stop_at_each_check(
    run: Callable[[Callable[[], None]], object], look: Callable[[], None]
) -> int:
    """Stop a job at its first check, at its second, and so on.

    :param run: does the job, with that check
    :param look: at what is left each time
    :returns: how often it checks when nobody stops it
    """

    class Stopped(Exception):
        pass

    for calls in range(1000):
        left = iter(range(calls))

        def check(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Stopped

        try:
            run(check)
        except Stopped:
            look()
        else:
            return calls
    raise AssertionError('it does not end')


@dataclasses.dataclass
class Image:
    """An image with the bytes that it must restore to."""

    id: str
    data: bytes
    root: image_root.Root
    session: repository_session.Session


class RepositoryTestCase(base.BaseTestCase):
    """``path``: the directory; ``storage``, ``repo``: what is in it."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir(_directory())).path
        self.storage: storage_base.Storage = nas.NasStorage(self.path)
        self.addCleanup(self.storage.close)
        self.repo = repository.Repository.create(
            self.storage, pack_size=PACK_SIZE
        )

    def put(
        self,
        data: bytes,
        tree_writer,
        chunks,
        repo: repository.Repository | None = None,
    ) -> None:
        """Put all leaves of a volume with these bytes."""
        hasher = (repo or self.repo).hasher()
        for index in range(-(-len(data) // LEAF)):
            leaf = page.Leaf(index)
            for slot in range(256):
                begin = index * LEAF + slot * CHUNK
                plain = data[begin : begin + CHUNK]
                if not _is_zero(plain):
                    leaf.set(slot, chunks.add(hasher(plain), plain))
            tree_writer.put_leaf(index, leaf)

    def store(
        self,
        data: bytes,
        base: Image | None = None,
        generation: int = 1,
        chain: image_root.Chain = CHAIN,
        repo: repository.Repository | None = None,
        session_id: str | None = None,
        image_id: str | None = None,
        run: int = 0,
        damaged: extents.Extents | None = None,
    ) -> Image:
        """Make an image of some bytes, up to its candidate root.

        Chunks that the base has are taken over from it, unless they are
        damaged there.
        """
        damaged = damaged or extents.Extents()
        repo = repo or self.repo
        session = repo.session(session_id or new_id(), generation, run=run)
        chunks = session.writer()
        old = None if base is None else repo.tree(base.root)
        target = session.tree(len(data), CHUNK, old)
        hasher = repo.hasher()
        for index in range(-(-len(data) // LEAF)):
            if _is_zero(data[index * LEAF : (index + 1) * LEAF]):
                continue
            leaf = page.Leaf(index)
            before = None if old is None else old.leaf(index)
            for slot in range(256):
                begin = index * LEAF + slot * CHUNK
                plain = data[begin : begin + CHUNK]
                if _is_zero(plain):
                    continue
                chunk_id = hasher(plain)
                known = None if before is None else before.get(slot)
                if (
                    known is not None
                    and known.id == chunk_id
                    and not any(damaged.within(begin, begin + CHUNK))
                ):
                    leaf.set(slot, known)
                else:
                    leaf.set(slot, chunks.add(chunk_id, plain))
            target.put_leaf(index, leaf)
        root = session.commit_candidate(
            image_root.Root(
                image_id=image_id or new_id(),
                chain=chain,
                generation=generation,
                size=len(data),
                chunk_size=CHUNK,
                tree=target.finish(),
                record={'id': 'cinder', 'name': 'ä"\n'},
                volume_metadata='{"version": 2}',
            )
        )
        return Image(root.image_id, data, root, session)

    def backup(self, data: bytes, **kwargs) -> Image:
        """Make an image that counts."""
        image = self.store(data, **kwargs)
        image.session.mark_committed(image.id)
        return image

    def restore(
        self, image_id: str, repo: repository.Repository | None = None
    ) -> bytes:
        """The bytes of an image, found by its id alone."""
        repo = repo or self.repo
        return restored(repo, repo.tree(repo.root(image_id)))

    def collect(
        self,
        dead: set[str] | None = None,
        pins: list[marking.Pin] | None = None,
        sessions: set[str] | None = None,
        whole: bool = False,
        limits: compaction.Limits | None = None,
    ) -> collector.CollectResult:
        """Collect with a catalog that knows just this."""
        return collector.collect(
            self.repo,
            lambda ids: liveness.Live(
                dead or set(), pins or [], sessions or set()
            ),
            nothing_to_check,
            whole=whole,
            limits=limits,
        )

    def compact(self, **kwargs) -> collector.CollectResult:
        """Collect, and compact all that half of is garbage."""
        return self.collect(whole=True, limits=COMPACT, **kwargs)

    def check(self, read_data: bool = True) -> checker.CheckReport:
        """Check everything, and read all chunks if asked to."""
        found = damage.DamagedRecords()
        left = left_out.LeftOut(self.repo.storage)
        if read_data:
            verify = verifier.PackVerifier(self.repo, found).verify
            packs = sample.Sample().packs(left, nothing_to_check)
            for address, _ in packs:
                verify(address, lambda length: None)
        self.images_damage: checker.Damage = {}
        self.repo.usage(left)
        return checker.check(
            self.repo,
            found,
            nothing_to_check,
            self.images_damage.update,
            left=left,
        )

    def keys(self, prefix: str = '') -> set[str]:
        """Of all objects; of accounts, which only save time, if asked for."""
        return {
            info.key
            for info in self.storage.list(prefix)
            if prefix == layout.ACCOUNTS or not layout.is_account(info.key)
        }

    def patch_object(self, key: str, offset: int, value: bytes) -> None:
        """Change bytes of an object behind everybody's back."""
        with open(os.path.join(self.path, key), 'r+b') as file:
            file.seek(offset)
            file.write(value)

    def flip(self, key: str, offset: int, bit: int = 0) -> None:
        """Change one bit of an object; twice is not at all."""
        with open(os.path.join(self.path, key), 'rb') as file:
            file.seek(offset)
            value = file.read(1)[0]
        self.patch_object(key, offset, bytes([value ^ 1 << bit]))


def _is_zero(data: bytes) -> bool:
    return data == bytes(len(data))


def restored(repo: repository.Repository, source: tree.Tree) -> bytes:
    """The bytes that a tree stands for."""
    out = bytearray(source.size)
    chunks = reader.ChunkReader(repo)
    for index in source.leaves():
        leaf = source.leaf(index)
        assert leaf is not None

        def room(slot: int, begin: int = index * LEAF) -> memoryview:
            place = begin + slot * CHUNK
            return memoryview(out)[place : place + CHUNK]

        slots = leaf.present.nonzero()[0].tolist()
        assert {*slots} == {*chunks.read_leaf(leaf, slots, room)}
    return bytes(out)
