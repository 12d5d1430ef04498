# SPDX-License-Identifier: Apache-2.0
"""What every storage, and every wrapper around one, must do.

Inherit from ConformanceTests and BaseTestCase, and make ``open_storage``
return a new object for one and the same empty place each time. Methods whose
names begin with ``place_`` may be overridden where a storage has another way.
"""

import threading
import uuid

from ebackup_service.repository import errors
from ebackup_service.repository.storage import base

MIB = 1024 * 1024


class ConformanceTests:
    """Mixed into a test case."""

    def open_storage(self) -> base.Storage:
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.storage = self.open_storage()
        self.addCleanup(self.storage.close)

    def test_created_object_reads_back(self):
        self.storage.create('packs/aa/one', [b'first', b'', b'second'])

        self.assertEqual(b'firstsecond', self.storage.read('packs/aa/one'))
        self.assertEqual(11, self.storage.size('packs/aa/one'))

    def test_object_may_be_empty(self):
        self.storage.create('empty', [])

        self.assertEqual(b'', self.storage.read('empty'))
        self.assertEqual(0, self.storage.size('empty'))

    def test_created_object_is_there_for_others(self):
        self.storage.create('one', [b'bytes'])

        other = self.open_storage()
        self.addCleanup(other.close)
        self.assertEqual(b'bytes', other.read('one'))

    def test_large_object_of_any_length_reads_back(self):
        for length in (MIB - 1, MIB, MIB + 1, 3 * MIB + 4095):
            data = (uuid.uuid4().bytes * (length // 16 + 1))[:length]
            key = f'large-{length}'
            self.storage.create(key, [data])
            self.assertEqual(data, self.storage.read(key))

    def test_buffers_of_all_kinds_are_written(self):
        self.storage.create(
            'kinds', [b'a', bytearray(b'b'), memoryview(b'xcx')[1:2]]
        )

        self.assertEqual(b'abc', self.storage.read('kinds'))

    def test_create_never_overwrites(self):
        self.storage.create('one', [b'old'])

        self.assertRaises(
            errors.ObjectExists, self.storage.create, 'one', [b'new']
        )
        self.assertEqual(b'old', self.storage.read('one'))

    def test_key_may_be_created_again_after_its_deletion(self):
        self.storage.create('dir/one', [b'old'])
        self.storage.delete('dir/one')

        self.storage.create('dir/one', [b'new'])

        self.assertEqual(b'new', self.storage.read('dir/one'))

    def test_one_of_many_creators_wins(self):
        if not self.storage.capabilities.atomic_create:
            self.skipTest('not promised')
        won = []
        barrier = threading.Barrier(8)

        def create(data: bytes) -> None:
            barrier.wait()
            try:
                self.storage.create('a/b/one', [data])
                won.append(data)
            except errors.ObjectExists:
                pass

        threads = [
            threading.Thread(target=create, args=(b'%d' % number,))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([self.storage.read('a/b/one')], won)

    def test_many_create_and_delete_in_one_place(self):
        # Directories, if there are any, come and go meanwhile.
        failures = []

        def work(number: int) -> None:
            try:
                for _ in range(25):
                    self.storage.create(f'a/b/{number}', [b'x'])
                    self.storage.delete(f'a/b/{number}')
            except Exception as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=(number,))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failures)
        self.assertEqual([], list(self.storage.list('')))

    def test_replace_makes_and_overwrites(self):
        self.storage.replace('owner.json', b'first, longer')
        self.storage.replace('owner.json', b'second')

        self.assertEqual(b'second', self.storage.read('owner.json'))

    def test_range_reads(self):
        self.storage.create('one', [bytes(range(200))])
        buffer = bytearray(50)

        self.storage.read_into('one', 100, memoryview(buffer))

        self.assertEqual(bytes(range(100, 150)), bytes(buffer))

    def test_range_up_to_the_end_reads(self):
        self.storage.create('one', [b'0123456789'])
        buffer = bytearray(3)

        self.storage.read_into('one', 7, memoryview(buffer))

        self.assertEqual(b'789', bytes(buffer))

    def test_range_behind_the_end_is_refused(self):
        self.storage.create('one', [b'0123456789'])

        for offset in (8, 10, 11, 4096):
            self.assertRaises(
                errors.ObjectTruncated,
                self.storage.read_into,
                'one',
                offset,
                memoryview(bytearray(3)),
            )

    def test_missing_object_is_told(self):
        for key in ('none', 'no/such/object'):
            self.assertRaises(errors.ObjectMissing, self.storage.read, key)
            self.assertRaises(errors.ObjectMissing, self.storage.size, key)
            self.assertRaises(
                errors.ObjectMissing,
                self.storage.read_into,
                key,
                0,
                memoryview(bytearray(1)),
            )

    def test_object_is_no_prefix_of_others(self):
        self.storage.create('one', [b'x'])

        self.assertRaises(errors.ObjectMissing, self.storage.read, 'one/two')

    def test_prefix_is_no_object(self):
        self.storage.create('dir/one', [b'x'])

        self.assertRaises(errors.ObjectMissing, self.storage.read, 'dir')

    def test_listing_is_recursive_and_has_sizes(self):
        self.storage.create('a/b/one', [b'x'])
        self.storage.create('a/two', [b'yy'])
        self.storage.create('three', [b''])

        self.assertEqual(
            {'a/b/one': 1, 'a/two': 2, 'three': 0},
            {info.key: info.size for info in self.storage.list('')},
        )
        self.assertEqual(
            {'a/b/one', 'a/two'},
            {info.key for info in self.storage.list('a/')},
        )
        self.assertEqual([], list(self.storage.list('none/')))

    def test_listing_meets_every_object_that_stays(self):
        keys = {f'a/{number % 7}/{number}' for number in range(300)}
        for key in sorted(keys):
            self.storage.create(key, [b''])
        listing = self.storage.list('')
        first = next(listing).key
        for number in range(50):
            self.storage.create(f'b/{number}', [b''])

        met = {first, *(info.key for info in listing)}

        self.assertEqual(set(), keys - met)

    def test_delete_is_idempotent(self):
        self.storage.create('a/one', [b'x'])
        self.storage.create('a/two', [b'x'])

        self.storage.delete('a/one')
        self.storage.delete('a/one')
        self.storage.delete('never/was')

        self.assertEqual(
            ['a/two'], [info.key for info in self.storage.list('')]
        )

    def test_what_is_no_key_is_refused(self):
        for key in ('', '/a', 'a/', 'a//b', '../a', '.a', 'A', 'a b', 'ä'):
            self.assertRaises(ValueError, self.storage.create, key, [b''])
            self.assertRaises(ValueError, self.storage.replace, key, b'')
            self.assertRaises(ValueError, self.storage.read, key)
            self.assertRaises(ValueError, self.storage.size, key)
            self.assertRaises(ValueError, self.storage.delete, key)

    def test_nothing_is_stale_after_success(self):
        self.storage.create('a/one', [b'x' * 100])
        self.storage.replace('two', b'y')

        self.assertEqual(0, self.storage.remove_stale('', -60.0))
        self.assertEqual(b'y', self.storage.read('two'))

    def test_usage_is_plausible(self):
        usage = self.storage.usage()

        if not self.storage.capabilities.reports_usage:
            self.assertIsNone(usage)
            return
        self.assertGreater(usage.total, 0)
        self.assertGreaterEqual(usage.total, usage.free)

    def test_close_may_be_called_twice(self):
        storage = self.open_storage()

        storage.close()
        storage.close()

        self.assertRaises(errors.StorageUnavailable, storage.read, 'one')
