# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import threading
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import location
from tests.unit.ebackup_service.repository import base

MIB = 1024 * 1024


class CommitTestCase(base.RepositoryTestCase):
    def test_image_restores(self):
        for size in (0, 1, base.CHUNK, base.CHUNK + 1, MIB, 3 * MIB + 77):
            data = os.urandom(size)
            image = self.backup(data)

            self.assertTrue(self.repo.is_marked(image.id))
            self.assertEqual(data, self.restore(image.id))

    def test_every_compression_restores(self):
        data = b'compressible ' * 10000 + os.urandom(50000)
        for compression in ('zstd', 'lz4', 'none'):
            session = self.repo.session(base.new_id(), 1, compression)
            with mock.patch.object(self.repo, 'session', return_value=session):
                image = self.backup(data)
            self.assertEqual(data, self.restore(image.id))

    def test_zeros_cost_nothing(self):
        image = self.backup(bytes(5 * MIB))

        self.assertIsNone(image.root.tree)
        self.assertEqual(set(), self.keys(layout.PACKS))
        self.assertEqual(bytes(5 * MIB), self.restore(image.id))

    def test_one_chunk_in_a_tebibyte(self):
        size = 1024 * 1024 * MIB
        session = self.repo.session(base.new_id(), 1)
        chunks = session.writer()
        target = session.tree(size, 65536, None)
        plain = os.urandom(65536)
        leaf = base.page.Leaf(40000)
        leaf.set(9, chunks.add(self.repo.chunk_id(plain), plain))
        target.put_leaf(40000, leaf)
        root = session.commit_candidate(
            base.image_root.Root(
                image_id=base.new_id(),
                chain=base.CHAIN,
                generation=1,
                size=size,
                chunk_size=65536,
                tree=target.finish(),
            )
        )
        session.mark_committed(root.image_id)

        source = self.repo.tree(self.repo.root(root.image_id))
        self.assertEqual([40000], list(source.leaves()))
        out = bytearray(65536)
        base.reader.ChunkReader(self.repo).read(
            source.leaf(40000).locator(9), memoryview(out)
        )
        self.assertEqual(plain, bytes(out))
        self.assertLess(self.repo.usage().used, 80000)

    def test_incremental_stores_what_changed(self):
        data = os.urandom(5 * MIB)
        first = self.backup(data)
        changed = bytearray(data)
        changed[2 * MIB + 5] ^= 1

        second = self.backup(bytes(changed), base=first, generation=2)

        self.assertEqual(bytes(changed), self.restore(second.id))
        self.assertEqual(data, self.restore(first.id))
        counters = second.session.counters
        self.assertEqual(1, counters.chunks_stored)
        self.assertEqual(base.CHUNK + 64, counters.stored_bytes)
        self.assertLess(counters.metadata_bytes, 20000)
        generations = [
            self.repo.tree(second.root).leaf(2).locator(slot).generation
            for slot in (0, 1)
        ]
        self.assertEqual([2, 1], generations)

    def test_grown_and_shrunk_volumes(self):
        data = os.urandom(3 * MIB + 1000)
        image = self.backup(data)
        for generation, size in enumerate(
            (3 * MIB + 1001, 300 * MIB, 2 * MIB, 100, 0, 1), 2
        ):
            data = (
                data[:size]
                + bytes(max(0, size - len(data) - 1))
                + (b'e' if size > len(data) else b'')
            )
            image = self.backup(data, base=image, generation=generation)
            self.assertEqual(size, len(data))
            self.assertEqual(data, self.restore(image.id))

    def test_counters_are_the_bytes_in_the_repository(self):
        image = self.store(os.urandom(MIB) + b'a' * MIB)
        used = sum(
            info.size
            for prefix in (layout.PACKS, layout.IMAGES)
            for info in self.storage.list(prefix)
        )

        counters = image.session.counters
        self.assertEqual(used, counters.stored_bytes + counters.metadata_bytes)
        self.assertEqual(len(self.keys(layout.PACKS)), counters.packs)
        self.assertEqual(512, counters.chunks_stored)

    def test_candidate_can_be_committed_again(self):
        image = self.store(os.urandom(5000))

        again = image.session.commit_candidate(
            dataclasses.replace(image.root, session_id=None)
        )

        self.assertEqual(image.root, again)

    def test_second_root_of_an_image_is_refused(self):
        image = self.store(os.urandom(5000))
        other = self.repo.session(base.new_id(), 1)

        self.assertRaises(
            errors.ObjectExists, other.commit_candidate, image.root
        )
        self.assertEqual(image.data, self.restore(image.id))

    def test_deleted_image_is_refused(self):
        image = self.store(os.urandom(5000))
        self.repo.delete_image(image.id)

        self.assertRaises(
            errors.ImageDeleted,
            image.session.commit_candidate,
            image.root,
        )

    def test_image_deleted_after_its_commit_is_not_marked(self):
        image = self.store(os.urandom(5000))
        root = self.storage.read(layout.root_key(image.id))
        self.repo.delete_image(image.id)
        self.assertRaises(
            errors.ImageMissing, image.session.mark_committed, image.id
        )

        self.storage.create(layout.root_key(image.id), [root])
        self.assertRaises(
            errors.ImageDeleted, image.session.mark_committed, image.id
        )

    def test_only_the_own_candidate_is_marked(self):
        image = self.store(b'x')
        other = self.store(b'y')

        self.assertRaises(ValueError, image.session.mark_committed, other.id)

    def test_marking_is_idempotent(self):
        image = self.backup(b'x')
        image.session.mark_committed(image.id)

        self.assertTrue(self.repo.is_marked(image.id))

    def test_generation_must_be_that_of_the_session(self):
        image = self.store(b'x')
        session = self.repo.session(base.new_id(), 2)

        self.assertRaises(ValueError, session.commit_candidate, image.root)

    def test_full_storage_can_be_tried_again(self):
        session = self.repo.session(base.new_id(), 1)
        chunks = session.writer()
        data = os.urandom(10000)
        target = session.tree(len(data), base.CHUNK, None)
        self.put(data, target, chunks)
        root = base.image_root.Root(
            image_id=base.new_id(),
            chain=base.CHAIN,
            generation=1,
            size=len(data),
            chunk_size=base.CHUNK,
            tree=target.finish(),
        )
        real = self.storage.create
        calls = []

        def create(key, parts):
            calls.append(key)
            if len(calls) % 2:
                raise errors.StorageFull('full')
            real(key, parts)

        with mock.patch.object(self.storage, 'create', create):
            for _ in range(3):
                self.assertRaises(
                    errors.StorageFull, session.commit_candidate, root
                )
            session.commit_candidate(root)
        session.mark_committed(root.image_id)

        self.assertEqual(data, self.restore(root.image_id))


class SessionTestCase(base.RepositoryTestCase):
    def test_ids_must_be_uuids(self):
        self.assertRaises(ValueError, self.repo.session, 'job-1', 1)

    def test_session_that_runs_again_goes_on_behind(self):
        session_id = base.new_id()
        first = self.repo.session(session_id, 1)
        chunks = first.writer()
        for _ in range(100):
            chunks.add(bytes(32), os.urandom(base.CHUNK))
        chunks.flush()
        before = self.keys(layout.PACKS)

        image = self.backup(os.urandom(MIB), session_id=session_id)

        self.assertEqual(image.data, self.restore(image.id))
        self.assertEqual(set(), before - self.keys(layout.PACKS))
        own = self.keys(layout.session_prefix(session_id)) - before
        self.assertNotEqual(set(), own)

    def test_pack_that_an_earlier_run_writes_late_is_in_nobodys_way(self):
        session_id = base.new_id()
        first = self.repo.session(session_id, 1, run=1)
        early, late = first.writer(), first.writer()
        for landed in (False, True):
            for chunks in early, late:
                chunks.add(bytes(32), b'x')
            if landed:
                early.flush()
            again = self.repo.session(session_id, 1, run=2)
            late.flush()
            chunks = again.writer()
            chunks.add(bytes(32), b'x')

            chunks.flush()

        self.assertEqual(5, len(self.keys(layout.PACKS)))

    def test_candidate_of_an_earlier_run_is_taken_over(self):
        image = self.store(os.urandom(5000))
        again = self.repo.session(image.session.id, 1)

        self.assertEqual(image.root, again.candidate(image.id))
        again.mark_committed(image.id)

        self.assertEqual(image.data, self.restore(image.id))

    def test_candidate_that_came_while_another_was_made_is_taken_over(self):
        image = self.store(os.urandom(5000))
        again = self.repo.session(image.session.id, 1)

        found = again.commit_candidate(
            dataclasses.replace(image.root, statistics={'bytes_read': 7})
        )
        self.assertEqual(image.root, found)
        again.mark_committed(image.id)

        self.assertEqual(image.data, self.restore(image.id))

    def test_candidate_of_another_session_is_none(self):
        image = self.store(os.urandom(5000))
        other = self.repo.session(base.new_id(), 1)

        self.assertIsNone(other.candidate(image.id))
        self.assertIsNone(other.candidate(base.new_id()))

    def test_closed_session_leaves_what_it_wrote(self):
        session = self.repo.session(base.new_id(), 1)
        target = session.tree(MIB, base.CHUNK, None)
        self.put(os.urandom(MIB), target, session.writer())
        session.flush()
        before = self.keys()

        session.close()

        self.assertEqual(before, self.keys())

    def test_ordinals_end(self):
        session_id = base.new_id()
        address = location.PackAddress(
            layout.session_bytes(session_id), location.DATA, 2**32 - 1
        )
        self.storage.create(layout.pack_key(address), [b''])
        session = self.repo.session(session_id, 1)

        self.assertRaises(ValueError, session.writer().add, bytes(32), b'x')

    def test_writers_of_many_threads(self):
        session = self.repo.session(base.new_id(), 1)
        data = os.urandom(16 * MIB)
        target = session.tree(len(data), base.CHUNK, None)
        hasher = self.repo.hasher()

        def work(first):
            chunks = session.writer()
            for index in range(first, 16, 4):
                leaf = base.page.Leaf(index)
                for slot in range(256):
                    begin = (index * 256 + slot) * base.CHUNK
                    plain = data[begin : begin + base.CHUNK]
                    leaf.set(slot, chunks.add(hasher(plain), plain))
                target.put_leaf(index, leaf)
            chunks.flush()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        root = session.commit_candidate(
            base.image_root.Root(
                image_id=base.new_id(),
                chain=base.CHAIN,
                generation=1,
                size=len(data),
                chunk_size=base.CHUNK,
                tree=target.finish(),
            )
        )
        session.mark_committed(root.image_id)

        self.assertEqual(data, self.restore(root.image_id))
        self.assertEqual(4096, session.counters.chunks_stored)

    def test_two_sessions_on_one_base(self):
        first = self.backup(os.urandom(2 * MIB))
        one = self.store(b'1' + first.data[1:], base=first, generation=2)
        two = self.store(b'2' + first.data[1:], base=first, generation=3)
        two.session.mark_committed(two.id)
        one.session.mark_committed(one.id)

        for image in (first, one, two):
            self.assertEqual(image.data, self.restore(image.id))
