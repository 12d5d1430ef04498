# SPDX-License-Identifier: Apache-2.0
import os
import time

import fixtures

from ebackup_service.production import attached
from ebackup_service.production import base as production
from tests.unit.ebackup_service.engine import volumes

CHUNK, LEAF = volumes.CHUNK, volumes.LEAF
DATA = volumes.DATA
MIB = 1 << 20


class FullBackupTest(volumes.EngineTestCase):
    def test_sizes_that_are_no_multiple_of_anything(self):
        for size in (
            0,
            1,
            511,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            64 * CHUNK + 5,
            LEAF - 1,
            LEAF,
            LEAF + 1,
            2 * LEAF + 3 * CHUNK + 7,
        ):
            with self.subTest(size=size):
                content = volumes.noise(size)
                image, result = self.back_up(content)
                self.assertHolds(content, image)
                self.assertEqual(
                    -(-size // CHUNK), result.statistics['chunks_total']
                )
                self.assertEqual(size, result.statistics['bytes_read'])

    def test_source_that_does_not_copy(self):
        for size in (0, 1, CHUNK - 1, 64 * CHUNK + 5, 2 * LEAF):
            with self.subTest(size=size):
                content = volumes.noise(size)
                image, result = self.back_up(volumes.SharedSource(content))
                self.assertHolds(content, image)
                changed = content[: size // 2] + content[size // 2 :][::-1]
                source = volumes.SharedSource(changed)
                image, result = self.back_up(source, image)
                self.assertHolds(changed, image)
                self.assertEqual(size, result.statistics['bytes_read'])

    def test_zeros_are_not_stored(self):
        content = bytearray(3 * LEAF + 5)
        content[LEAF + 5 * CHUNK : LEAF + 6 * CHUNK] = volumes.noise(CHUNK)
        image, result = self.back_up(bytes(content))
        self.assertHolds(content, image)
        self.assertEqual(1, result.statistics['chunks_stored'])
        self.assertEqual(3 * 256, result.statistics['chunks_zero'])
        self.assertEqual([1], list(image.leaves()))

    def test_volume_of_zeros_has_no_tree(self):
        image, result = self.back_up(bytes(2 * LEAF))
        self.assertIsNone(result.tree)
        self.assertHolds(bytes(2 * LEAF), image)

    def test_chunk_that_differs_from_zeros_in_its_last_byte(self):
        for size in (CHUNK, CHUNK + 3, 13):
            content = bytes(size - 1) + b'\1'
            image, result = self.back_up(content)
            self.assertEqual(1, result.statistics['chunks_stored'])
            self.assertHolds(content, image)

    def test_repeated_content_is_stored_once(self):
        content = volumes.noise(CHUNK) * 256
        image, result = self.back_up(content)
        self.assertEqual(1, result.statistics['chunks_stored'])
        self.assertEqual(256, result.statistics['chunks_changed'])
        self.assertHolds(content, image)

    def test_what_is_remembered_is_bounded(self):
        self.useFixture(
            fixtures.MockPatch('ebackup_service.engine.recent_chunks.COUNT', 2)
        )
        self.useFixture(
            fixtures.MockPatch(
                'ebackup_service.engine.backup_leaf.READ_SIZE', CHUNK
            )
        )
        content = (volumes.noise(4 * CHUNK) + volumes.noise(CHUNK, 2)) * 3
        image, result = self.back_up(content)
        self.assertEqual(15, result.statistics['chunks_stored'])
        self.assertHolds(content, image)

    def test_holes_are_not_read(self):
        content = bytearray(4 * LEAF)
        content[LEAF : LEAF + 10] = b'x' * 10
        source = volumes.MemorySource(content, [(LEAF, 10, DATA)])
        image, result = self.back_up(source)
        self.assertEqual([(LEAF, CHUNK)], source.reads)
        self.assertEqual(4 * 256 - 1, result.statistics['chunks_zero'])
        self.assertHolds(content, image)

    def test_progress_reaches_everything(self):
        content = volumes.noise(LEAF) + bytes(3 * LEAF + 5)
        self.back_up(
            volumes.MemorySource(content, [(0, LEAF + CHUNK + 1, DATA)])
        )
        snapshot = self.progress.snapshot()
        self.assertEqual(len(content), snapshot['bytes_done'])
        self.assertEqual(LEAF + 2 * CHUNK, snapshot['bytes_read'])
        self.assertEqual(100, snapshot['percent'])
        self.assertEqual(
            self.session.counters.stored_bytes, snapshot['bytes_stored']
        )

    def test_one_worker(self):
        self.WORKERS = 1
        content = volumes.noise(2 * LEAF + 5)
        image, _ = self.back_up(content)
        self.assertHolds(content, image)

    def test_huge_sparse_file_takes_no_time(self):
        """1 TiB with one block written: holes are not walked through."""
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'v')
        size, position = 1 << 40, (1 << 39) + 12345
        with open(path, 'wb') as file:
            file.truncate(size)
            file.seek(position)
            file.write(b'content')
        storage = attached.AttachedStorage([os.path.dirname(path)], 'here')
        attachment = {'kind': 'attached', 'host': 'here', 'path': path}
        lun = storage.find(production.Reference('volume', attachment))
        source = lun.open_source(size)
        self.addCleanup(source.close)
        before = time.process_time()
        image, result = self.back_up(source, chunk_size=65536)
        self.assertLess(time.process_time() - before, 5)
        self.assertEqual(1, result.statistics['chunks_stored'])
        self.assertEqual(size // 65536, result.statistics['chunks_total'])
        self.assertEqual([position // image.leaf_span], list(image.leaves()))

        with open(path, 'wb'):
            pass
        target = lun.open_target(size, volume_is_new=True)
        self.addCleanup(target.close)
        before = time.process_time()
        self.restore(image, target)
        self.assertLess(time.process_time() - before, 5)
        self.assertEqual(size, os.stat(path).st_size)
        with open(path, 'rb') as file:
            file.seek(position - 5)
            self.assertEqual(bytes(5) + b'content\0', file.read(13))


class ChunkSizeTest(volumes.EngineTestCase):
    PACK_SIZE = 32 * MIB

    def test_chunk_sizes(self):
        content = volumes.noise(9 * MIB + 11)
        for chunk_size in (65536, 256 * 1024, MIB, 4 * MIB):
            with self.subTest(chunk_size=chunk_size):
                image, _ = self.back_up(content, chunk_size=chunk_size)
                self.assertHolds(content, image)


class IncrementalBackupTest(volumes.EngineTestCase):
    def changed(self, content, *offsets):
        changed = bytearray(content)
        for offset in offsets:
            changed[offset : offset + 3] = b'new'
        return bytes(changed)

    def test_only_what_changed_is_stored(self):
        old = volumes.noise(3 * LEAF + 5)
        base, _ = self.back_up(old)
        new = self.changed(old, 17, LEAF + 5 * CHUNK, len(old) - 3)
        image, result = self.back_up(new, base)
        self.assertHolds(new, image)
        self.assertHolds(old, base)
        self.assertEqual(3, result.statistics['chunks_stored'])
        self.assertEqual(3, result.statistics['chunks_changed'])
        self.assertEqual(len(new), result.statistics['bytes_read'])

    def test_nothing_changed_writes_nothing(self):
        content = volumes.noise(2 * LEAF + 5)
        base, _ = self.back_up(content)
        image, result = self.back_up(content, base)
        self.assertEqual(base.root, image.root)
        self.assertEqual(0, result.statistics['bytes_stored'])
        self.assertEqual(0, self.session.counters.packs)

    def test_generation_tells_what_changed(self):
        old = volumes.noise(2 * CHUNK)
        base, _ = self.back_up(old)
        image, _ = self.back_up(self.changed(old, CHUNK), base)
        leaf = image.leaf(0)
        self.assertEqual(
            [1, 2], [leaf.locator(slot).generation for slot in (0, 1)]
        )

    def test_became_zeros(self):
        old = volumes.noise(LEAF + CHUNK)
        base, _ = self.back_up(old)
        for new in (
            bytes(CHUNK) + old[CHUNK:],
            bytes(LEAF) + old[LEAF:],
            old[:LEAF] + bytes(CHUNK),
            bytes(len(old)),
        ):
            image, result = self.back_up(new, base)
            self.assertEqual(0, result.statistics['chunks_stored'])
            self.assertHolds(new, image)

    def test_became_a_hole(self):
        old = volumes.noise(3 * LEAF)
        base, _ = self.back_up(old)
        new = bytes(LEAF) + old[LEAF : 2 * LEAF] + bytes(LEAF)
        source = volumes.MemorySource(new, [(LEAF, LEAF, DATA)])
        image, _ = self.back_up(source, base)
        self.assertHolds(new, image)

    def test_base_without_a_leaf(self):
        base, _ = self.back_up(bytes(2 * LEAF))
        new = bytes(LEAF) + volumes.noise(LEAF)
        image, _ = self.back_up(new, base)
        self.assertHolds(new, image)

    def test_other_sizes(self):
        sizes = (
            1,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            LEAF - 5,
            LEAF,
            LEAF + 5,
            2 * LEAF + CHUNK + 9,
        )
        content = volumes.noise(max(sizes))
        bases = {size: self.back_up(content[:size])[0] for size in sizes}
        for old, base in bases.items():
            for new in sizes:
                with self.subTest(old=old, new=new):
                    image, result = self.back_up(content[:new], base)
                    self.assertHolds(content[:new], image)
                    # All whole chunks that both have are the same.
                    same = min(old, new) // CHUNK
                    if old == new:
                        same = -(-new // CHUNK)
                    self.assertEqual(
                        -(-new // CHUNK) - same,
                        result.statistics['chunks_changed'],
                    )

    def test_volume_that_grew_by_zeros(self):
        old = volumes.noise(CHUNK + 9)
        base, _ = self.back_up(old)
        new = old + bytes(LEAF)
        image, _ = self.back_up(new, base)
        self.assertHolds(new, image)

    def test_other_chunk_size(self):
        base, _ = self.back_up(volumes.noise(CHUNK))
        self.assertRaises(
            ValueError, self.back_up, volumes.noise(MIB), base, chunk_size=MIB
        )


class ProgressTest(volumes.EngineTestCase):
    def test_grows_while_the_job_runs(self):
        source = volumes.MemorySource(volumes.noise(2 * LEAF))
        seen = []
        source.before_read = lambda: seen.append(
            self.progress.snapshot()['bytes_done']
        )
        self.back_up(source)
        self.assertEqual(sorted(seen), seen)
        self.assertGreater(len(set(seen)), 3)
