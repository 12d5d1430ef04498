# SPDX-License-Identifier: Apache-2.0
"""One run of a job that writes; section "Order of writes" of the format."""

import contextlib
import dataclasses
import threading

from ebackup_service.repository import codec
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import images
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import root as image_root
from ebackup_service.repository import tree
from ebackup_service.repository import tree_writer
from ebackup_service.repository import writer


# More packs than one run has open at a time.
_LATECOMERS = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Counters:
    """What a run of a session has written; exact after commit_candidate.

    :ivar stored_bytes: records of chunks
    :ivar metadata_bytes: pages, root, headers and footers of packs
    :ivar chunks_stored: records of chunks
    :ivar packs: of both kinds
    """

    stored_bytes: int
    metadata_bytes: int
    chunks_stored: int
    packs: int


class Session:
    """Writes packs, a tree, and an image.

    Any thread may call writer(), tree() and flush_pages(). ``_lock`` protects
    ``_next``, the ordinals to come, and ``_writers``. Everything else is for
    the one thread that commits or closes, after the workers have ended.
    """

    def __init__(
        self,
        repo: opened.OpenRepository,
        session_id: str,
        generation: int,
        compression: str,
        level: int,
        run: int,
    ) -> None:
        """See Repository.session."""
        self.id = session_id
        self.generation = generation
        self._bytes = layout.session_bytes(session_id)
        self._repo = repo
        self._storage = repo.storage
        self._compression = compression
        self._level = level
        self._lock = threading.Lock()
        self._next = self._free_ordinals(run)
        self._writers: list[writer.ChunkWriter] = []
        self._pages = writer.PageWriter(
            repo, self._allocate, self._encoder(), generation
        )
        self._root_bytes = 0
        self._candidate: tuple[str, str] | None = None

    @property
    def counters(self) -> Counters:
        with self._lock:
            writers = list(self._writers)
        return Counters(
            stored_bytes=sum(w.record_bytes for w in writers),
            metadata_bytes=(
                sum(w.overhead_bytes for w in writers)
                + self._pages.metadata_bytes
                + self._root_bytes
            ),
            chunks_stored=sum(w.records for w in writers),
            packs=sum(w.packs for w in writers) + self._pages.packs,
        )

    def writer(self) -> writer.ChunkWriter:
        """A writer of chunks, for the one thread that uses it."""
        made = writer.ChunkWriter(
            self._repo, self._allocate, self._encoder(), self.generation
        )
        with self._lock:
            self._writers.append(made)
        return made

    def tree(
        self,
        size: int,
        chunk_size: int,
        base: tree.Tree | None,
        begun: location.Locator | None = None,
    ) -> tree_writer.TreeWriter:
        """The tree of the image that this session makes.

        :param size: of the volume, bytes
        :param base: what may be referred to; pinned while the session runs
        :param begun: what an earlier run of the session has made of it: the
            answer of the writer's checkpoint()
        :raises ValueError: the base has another chunk size
        """
        return tree_writer.TreeWriter(
            self._repo, self._pages, size, chunk_size, base, begun
        )

    def flush(self) -> None:
        """Make everything durable that was handed over so far.

        Between chunks and pages: workers wait meanwhile.

        :raises RepositoryError: the storage's; flush() may be called again
        """
        with self._lock:
            writers = list(self._writers)
        for chunks in writers:
            chunks.flush()
        self.flush_pages()

    def flush_pages(self) -> None:
        """Make all pages durable that were handed over so far.

        Any thread, at any time: chunks are for those who have the writers.

        :raises RepositoryError: the storage's; it may be called again
        """
        self._pages.flush()

    def commit_candidate(self, root: image_root.Root) -> image_root.Root:
        """Make everything durable, then write the candidate root.

        May be called again after a failure. If another run of this session
        was faster, its root is as good: it was complete before it was there.

        :returns: the root as written, which names the session
        :raises ImageDeleted: the image has a tombstone
        :raises ObjectExists: the image has a root of another session
        :raises RepositoryError: the storage's
        """
        if root.generation != self.generation:
            raise ValueError(
                f'a root of generation {root.generation} in a session of '
                f'generation {self.generation}'
            )
        if images.is_deleted(self._storage, root.image_id):
            raise errors.ImageDeleted(
                f'Image {root.image_id} was deleted; its backup can not be '
                'committed any more'
            )
        self.flush()
        root = dataclasses.replace(root, session_id=self.id)
        data = root.to_bytes()
        try:
            self._storage.create(layout.root_key(root.image_id), [data])
        except errors.ObjectExists:
            known = self.candidate(root.image_id)
            if known is None:
                raise
            root, data = known, known.to_bytes()
        self._adopt(root.image_id, data)
        self.close()
        return root

    def candidate(self, image_id: str) -> image_root.Root | None:
        """The candidate root that an earlier run of this session has left.

        It is durable, and complete: what it reaches was durable before it was
        written.

        :returns: None: there is none, or it is another session's
        :raises Corrupt: it is damaged
        :raises RepositoryError: the storage's
        """
        try:
            root = images.read_root(self._storage, image_id)
        except errors.ImageMissing:
            return None
        if root.session_id != self.id or root.generation != self.generation:
            return None
        data = root.to_bytes()
        # The run that wrote it may have been stopped before it was durable.
        with contextlib.suppress(errors.ObjectExists):
            self._storage.create(layout.root_key(image_id), [data])
        self._adopt(image_id, data)
        return root

    def mark_committed(self, image_id: str) -> None:
        """Write the commit marker of the candidate. Idempotent.

        Only after the catalog has committed the image.

        :raises ImageDeleted: the image has a tombstone
        :raises ImageMissing: the candidate root is gone
        """
        if self._candidate is None or self._candidate[0] != image_id:
            raise ValueError(f"{image_id} is not this session's candidate")
        images.mark(self._storage, image_id, self._candidate[1])

    def close(self) -> None:
        """Give the buffers back. What was written stays.

        For another run of the job to go on with, or for discard.discard.
        """
        with self._lock:
            writers = list(self._writers)
        for chunks in writers:
            chunks.abandon()
        self._pages.abandon()

    def _adopt(self, image_id: str, data: bytes) -> None:
        self._candidate = (image_id, document.digest(data))
        self._root_bytes = len(data)

    def _encoder(self) -> codec.Encoder:
        return codec.Encoder(self._compression, self._level)

    def _allocate(self, kind: int) -> location.PackAddress:
        with self._lock:
            ordinal = self._next[kind]
            if ordinal > location.U32:
                raise ValueError('a session has no more than 2**32 packs')
            self._next[kind] = ordinal + 1
        return location.PackAddress(self._bytes, kind, ordinal)

    def _free_ordinals(self, run: int) -> dict[int, int]:
        """First ordinals of a run: it goes on behind the earlier ones.

        Far enough behind: of a run that was given up, packs that it had open
        may still arrive.
        """
        first = max(run * _LATECOMERS, 1)
        free = {location.DATA: first, location.PAGE: first}
        for info in self._storage.list(layout.session_prefix(self.id)):
            address = layout.parse_pack(info.key)
            if address is not None:
                free[address.kind] = max(
                    free[address.kind], address.ordinal + _LATECOMERS
                )
        return free
