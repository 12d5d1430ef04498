# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import threading
from unittest import mock

from ebackup_service.repository import codec
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import writer
from tests.unit.ebackup_service.repository import base

CHUNK = base.CHUNK


class WriterTestCase(base.RepositoryTestCase):
    def setUp(self):
        super().setUp()
        self.numbers = itertools.count(1)
        self.chunks = writer.ChunkWriter(
            self.repo, self.allocate, codec.Encoder('zstd'), 9
        )
        self.addCleanup(self.chunks.abandon)

    def allocate(self, kind):
        return location.PackAddress(b's' * 16, kind, next(self.numbers))

    def add(self, plain):
        return self.chunks.add(self.repo.chunk_id(plain), memoryview(plain))

    def read(self, where, length):
        out = bytearray(length)
        reader.ChunkReader(self.repo).read(where, memoryview(out))
        return bytes(out)

    def fill(self, plains, where, packs):
        """Add what fills so many packs, and begins one more."""
        for _ in range(packs):
            first = None
            while True:
                plains.append(os.urandom(CHUNK))
                where.append(self.add(plains[-1]))
                first = first or where[-1].pack
                if where[-1].pack != first:
                    break

    def size(self, ordinal):
        address = location.PackAddress(b's' * 16, location.DATA, ordinal)
        return self.storage.size(layout.pack_key(address))


class ChunkWriterTestCase(WriterTestCase):
    def test_nothing_is_written_without_need(self):
        self.chunks.flush()
        self.chunks.abandon()

        self.assertEqual({'repository.json'}, self.keys())
        self.assertEqual(1, next(self.numbers))

    def test_chunks_read_back(self):
        plains = [os.urandom(CHUNK), b'a' * CHUNK, b'x']
        where = [self.add(plain) for plain in plains]
        self.chunks.flush()

        for plain, found in zip(plains, where, strict=True):
            self.assertEqual(9, found.generation)
            self.assertEqual(plain, self.read(found, len(plain)))

    def test_packs_are_cut_when_full(self):
        plains = [os.urandom(CHUNK) for _ in range(100)]
        where = [self.add(plain) for plain in plains]
        self.chunks.flush()

        packs = {found.pack.ordinal for found in where}
        self.assertEqual(set(range(1, len(packs) + 1)), packs)
        for ordinal in sorted(packs)[:-1]:
            self.assertGreater(self.size(ordinal), base.PACK_SIZE - 5000)
            self.assertLessEqual(self.size(ordinal), base.PACK_SIZE)
        for plain, found in zip(plains, where, strict=True):
            self.assertEqual(plain, self.read(found, CHUNK))

    def test_counters(self):
        for _ in range(50):
            self.add(os.urandom(CHUNK))
        self.chunks.flush()
        used = sum(info.size for info in self.storage.list(layout.PACKS))

        self.assertEqual(50, self.chunks.records)
        self.assertEqual(50 * (CHUNK + 64), self.chunks.record_bytes)
        self.assertEqual(
            used, self.chunks.record_bytes + self.chunks.overhead_bytes
        )
        self.assertEqual(len(self.keys(layout.PACKS)), self.chunks.packs)

    def test_lengths_that_no_record_has_are_refused(self):
        most = base.PACK_SIZE - 128 - 64 - 48 - 32

        for length in (0, most + 1):
            self.assertRaises(
                ValueError, self.chunks.add, bytes(32), bytes(length)
            )
        plain = os.urandom(most)
        where = self.add(plain)
        self.chunks.flush()
        self.assertEqual(plain, self.read(where, most))

    def test_failed_flush_can_be_repeated(self):
        plain = os.urandom(CHUNK)
        where = self.add(plain)
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            self.assertRaises(errors.StorageFull, self.chunks.flush)
        more = self.add(plain)
        self.chunks.flush()

        self.assertEqual(where.pack, more.pack)
        self.assertEqual(plain, self.read(where, CHUNK))
        self.assertEqual(plain, self.read(more, CHUNK))

    def test_failed_add_can_be_repeated(self):
        plains = [os.urandom(CHUNK) for _ in range(100)]
        where = []
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            for plain in plains:
                try:
                    where.append(self.add(plain))
                except errors.StorageFull:
                    break
        self.assertLess(len(where), 100)
        for plain in plains[len(where) :]:
            where.append(self.add(plain))
        self.chunks.flush()

        for plain, found in zip(plains, where, strict=True):
            self.assertEqual(plain, self.read(found, CHUNK))

    def test_full_pack_that_failed_is_written_by_a_flush(self):
        plains, where = [], []
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            self.fill(plains, where, 1)
            self.assertRaises(errors.StorageFull, self.chunks.flush)
            self.assertRaises(errors.StorageFull, self.chunks.flush)
        self.chunks.flush()

        self.assertEqual(2, self.chunks.packs)
        for plain, found in zip(plains, where, strict=True):
            self.assertEqual(plain, self.read(found, CHUNK))

    def test_next_pack_is_filled_while_a_full_one_is_written(self):
        goes_on = threading.Event()
        create = self.storage.create

        def slow(key, parts):
            goes_on.wait(60)
            create(key, parts)

        plains, where = [], []
        with mock.patch.object(self.storage, 'create', slow):
            self.fill(plains, where, 1)
            for _ in range(5):
                plains.append(os.urandom(CHUNK // 2))
                where.append(self.add(plains[-1]))
            self.assertEqual(set(), self.keys(layout.PACKS))
            self.assertEqual(0, self.chunks.packs)
            goes_on.set()
            self.chunks.flush()

        self.assertEqual(2, self.chunks.packs)
        for plain, found in zip(plains, where, strict=True):
            self.assertEqual(plain, self.read(found, len(plain)))

    def test_abandoning_waits_for_a_write_that_has_begun(self):
        goes_on = threading.Event()
        create = self.storage.create

        def slow(key, parts):
            goes_on.wait(60)
            create(key, parts)

        timer = threading.Timer(0.1, goes_on.set)
        with mock.patch.object(self.storage, 'create', slow):
            self.fill([], [], 1)
            timer.start()
            self.chunks.abandon()
        timer.join()

        self.assertEqual(1, len(self.keys(layout.PACKS)))

    def test_abandoned_writer_goes_on_with_a_new_pack(self):
        self.fill([], [], 1)
        self.chunks.abandon()
        plains, where = [], []
        self.fill(plains, where, 2)
        self.chunks.flush()

        for plain, found in zip(plains, where, strict=True):
            self.assertEqual(plain, self.read(found, CHUNK))

    def test_abandoned_pack_is_not_written(self):
        self.add(os.urandom(CHUNK))
        self.chunks.abandon()
        self.chunks.flush()

        self.assertEqual(set(), self.keys(layout.PACKS))

    def test_flushed_writer_goes_on_with_a_new_pack(self):
        one = self.add(os.urandom(CHUNK))
        self.chunks.flush()
        two = self.add(os.urandom(CHUNK))

        self.assertEqual((1, 2), (one.pack.ordinal, two.pack.ordinal))
        self.assertEqual(one.offset, two.offset)

    def test_flush_behind_says_when_all_is_durable(self):
        goes_on, durable = threading.Event(), threading.Event()
        create = self.storage.create

        def slow(key, parts):
            goes_on.wait(60)
            create(key, parts)

        where = []
        with mock.patch.object(self.storage, 'create', slow):
            where.append(self.add(b'a' * CHUNK))
            self.chunks.flush_behind(durable.set)
            where.append(self.add(b'b' * CHUNK))
            self.assertFalse(durable.is_set())
            goes_on.set()
            self.assertTrue(durable.wait(60))
        self.assertEqual(b'a' * CHUNK, self.read(where[0], CHUNK))
        self.assertEqual(1, len(self.keys(layout.PACKS)))
        self.chunks.flush()
        self.assertEqual(b'b' * CHUNK, self.read(where[1], CHUNK))
        self.assertNotEqual(where[0].pack, where[1].pack)

    def test_flush_behind_with_nothing_open(self):
        durable = []
        self.chunks.flush_behind(lambda: durable.append(1))
        self.assertEqual([1], durable)
        self.add(b'a' * CHUNK)
        self.chunks.flush_behind(lambda: durable.append(2))
        self.chunks.flush_behind(lambda: durable.append(3))
        self.assertEqual([1, 2, 3], durable)
        self.assertEqual(1, self.chunks.packs)

    def test_flush_behind_that_failed(self):
        durable = []
        where = self.add(b'a' * CHUNK)
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            self.chunks.flush_behind(lambda: durable.append(1))
            self.assertRaises(errors.StorageFull, self.chunks.settle)
            self.assertRaises(errors.StorageFull, self.chunks.flush)
        self.assertEqual([], durable)
        self.chunks.flush()
        self.assertEqual([1], durable)
        self.assertEqual(b'a' * CHUNK, self.read(where, CHUNK))

    def test_flush_behind_what_failed_before(self):
        """It says so, and forgets what it was to call."""
        durable = []
        with mock.patch.object(
            self.storage, 'create', side_effect=errors.StorageFull('full')
        ):
            self.fill([], [], 1)
            self.assertRaises(
                errors.StorageFull,
                self.chunks.flush_behind,
                lambda: durable.append(1),
            )
        self.chunks.flush()
        self.assertEqual([], durable)
        self.assertEqual(2, self.chunks.packs)


class PageWriterTestCase(WriterTestCase):
    def setUp(self):
        super().setUp()
        self.pages = writer.PageWriter(
            self.repo, self.allocate, codec.Encoder('zstd'), 9
        )

    def add_page(self, index):
        leaf = page.Leaf(index)
        pack = location.PackAddress(b's' * 16, location.DATA, 1)
        for slot in range(256):
            leaf.set(slot, location.Locator(os.urandom(32), pack, 128, 100, 1))
        plain = leaf.encode()
        return plain, self.pages.add(self.repo.page_hasher()(plain), plain)

    def test_pages_read_back_from_open_and_written_packs(self):
        made = [self.add_page(index) for index in range(30)]

        self.assertLess(0, self.pages.packs)
        for plain, where in made:
            self.assertEqual(location.PAGE, where.pack.kind)
            self.assertEqual(plain, self.pages.read(where))
        self.pages.flush()
        for plain, where in made:
            self.assertEqual(plain, self.pages.read(where))

    def test_metadata_bytes_are_those_of_the_packs(self):
        for index in range(30):
            self.add_page(index)
        self.pages.flush()

        used = sum(info.size for info in self.storage.list(layout.PACKS))
        self.assertEqual(used, self.pages.metadata_bytes)

    def test_abandoned_pack_is_not_written(self):
        self.add_page(0)
        self.pages.abandon()
        self.pages.flush()

        self.assertEqual(set(), self.keys(layout.PACKS))
