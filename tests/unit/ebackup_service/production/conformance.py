# SPDX-License-Identifier: Apache-2.0
"""What every production storage must do.

Inherit from ConformanceTests and BaseTestCase, and write the methods that have
no body. The other classes are for storages that promise that, too:
AttachmentTests for those that go by what the driver says, DifferenceTests for
those that may tell what changed, ExclusiveTests and HoldTests; those of
``conformance_snapshots`` for those with snapshots of ours.
"""

from collections.abc import Callable
import mmap
import random
import threading

from ebackup_service.production import base
from ebackup_service.production import errors

MIB = 1 << 20
PAGE = mmap.PAGESIZE
VOLUME_ID = '5d7a8ad6-1f0b-4d3c-8c5e-0b5ab3c3d6a1'


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def aligned(content: bytes) -> memoryview:
    """A buffer that starts at a page's address."""
    buffer = mmap.mmap(-1, max(len(content), 1))
    buffer.write(content)
    return memoryview(buffer)[: len(content)]


def read(volume, offset: int, buffer: memoryview) -> bytes:
    """A source, a target, or what is both: then all ways say the same."""
    found = set()
    if hasattr(volume, 'read'):
        found.add(bytes(volume.read(offset, buffer)))
    if hasattr(volume, 'read_into'):
        volume.read_into(offset, buffer)
        found.add(bytes(buffer))
    [content] = found
    return content


class ConformanceTests:
    """Mixed into a test case."""

    SIZE = 4 * MIB
    # that a volume of SIZE bytes can't have according to Cinder
    OTHER_SIZES = (SIZE - 1, SIZE + 1)

    def make_volume(self) -> base.ProductionStorage:
        """Make a volume of SIZE zeros; return a storage that reaches it."""
        raise NotImplementedError

    def reference(self) -> base.Reference:
        """To the volume."""
        raise NotImplementedError

    def fill(self, content: bytes) -> None:
        """Write all of the volume, behind the storage's back."""
        raise NotImplementedError

    def content(self) -> bytes:
        """All of the volume, as somebody else reads it."""
        raise NotImplementedError

    def missing(self) -> base.Reference:
        """To a volume that isn't there."""
        raise NotImplementedError

    # what find() says of that
    UNKNOWN: type[errors.ProductionError] = errors.VolumeUnknown

    def setUp(self) -> None:
        super().setUp()
        self.storage = self.make_volume()
        self.addCleanup(self.storage.close)

    def lun(self, reference=None) -> base.Lun:
        lun = self.storage.find(reference or self.reference())
        self.addCleanup(lun.close)
        return lun

    def source(
        self, reference=None, size=None, snapshot=None, since=None
    ) -> base.Source:
        source = self.lun(reference).open_source(
            size or self.SIZE, snapshot, since
        )
        self.addCleanup(source.close)
        return source

    def target(
        self, reference=None, size=None, volume_is_new=False
    ) -> base.Target:
        target = self.lun(reference).open_target(
            size or self.SIZE, volume_is_new
        )
        self.addCleanup(target.close)
        return target

    def read(self, volume, offset: int, length: int) -> bytes:
        return read(volume, offset, aligned(bytes(length)))

    def in_threads(self, work, count: int) -> None:
        threads = [
            threading.Thread(target=work, args=(number,))
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def sparse(self) -> bytes:
        """Data at both ends and in the middle, and zeros between them."""
        content = bytearray(self.SIZE)
        for offset, length in (
            (0, 5),
            (MIB + PAGE, MIB),
            (3 * MIB - 7, 20),
            (self.SIZE - 1, 1),
        ):
            content[offset : offset + length] = b'x' * length
        return bytes(content)

    # Sources

    def test_source_reads_any_range(self):
        content = noise(self.SIZE)
        self.fill(content)
        source = self.source()

        self.assertEqual(self.SIZE, source.size)
        for offset, length in (
            (0, self.SIZE),
            (0, 1),
            (PAGE - 1, 2),
            (MIB + 3, MIB),
            (self.SIZE - 1, 1),
            (self.SIZE, 0),
        ):
            self.assertEqual(
                content[offset : offset + length],
                self.read(source, offset, length),
            )
        # To an address that is not aligned.
        buffer = aligned(bytes(PAGE + 1))[1:]
        self.assertEqual(content[PAGE : 2 * PAGE], read(source, PAGE, buffer))

    def test_what_is_expected_may_be_read_or_not(self):
        content = noise(self.SIZE)
        self.fill(content)
        source = self.source()
        for offset in (0, PAGE, MIB):
            source.expect(offset, 3 * PAGE)
        for offset, length in (
            (PAGE, 3 * PAGE),
            (PAGE, 3 * PAGE),
            (0, 3 * PAGE),
            (0, 2 * PAGE),
        ):
            self.assertEqual(
                content[offset : offset + length],
                self.read(source, offset, length),
            )
        source.expect(self.SIZE - PAGE, PAGE)
        source.close()

    def test_source_reads_for_several_threads(self):
        content = noise(self.SIZE)
        self.fill(content)
        source = self.source()

        def read(number: int) -> None:
            for offset in range(number * PAGE, self.SIZE, 32 * PAGE):
                found[offset : offset + PAGE] = self.read(source, offset, PAGE)

        found = bytearray(self.SIZE)
        self.in_threads(read, 32)

        self.assertEqual(content, found)

    def most_memory(self) -> int:
        """Of the kind that says what a job of this one takes."""
        return self.storage.MEMORY

    def test_extents_are_sorted_and_inside_the_volume(self):
        self.fill(self.sparse())

        end = 0
        for extent in self.source().extents():
            self.assertLessEqual(end, extent.offset)
            self.assertLess(0, extent.length)
            end = extent.offset + extent.length
        self.assertLessEqual(end, self.SIZE)

    def test_whatever_is_no_data_reads_as_zeros(self):
        content = self.sparse()
        self.fill(content)
        source = self.source()

        self.assertIsInstance(source.waits, bool)
        self.assertLessEqual(sum(source.memory), self.most_memory())
        found = bytearray(self.SIZE)
        kinds = {source.gaps}
        for offset, length, kind in source.extents():
            kinds.add(kind)
            if kind is base.ExtentKind.DATA:
                found[offset : offset + length] = self.read(
                    source, offset, length
                )

        # Of a volume that was never read before, nothing is unchanged.
        self.assertNotIn(base.ExtentKind.UNCHANGED, kinds)
        self.assertEqual(content, found)

    def test_extents_may_be_listed_again(self):
        self.fill(self.sparse())
        source = self.source()

        self.assertEqual(list(source.extents()), list(source.extents()))

    def test_two_sources_of_one_volume_at_once(self):
        content = noise(self.SIZE)
        self.fill(content)

        one, other = self.source(), self.source()
        one.close()

        self.assertEqual(content, self.read(other, 0, self.SIZE))

    def test_later_source_reads_what_was_written_since(self):
        self.fill(noise(self.SIZE))
        source = self.source()
        self.read(source, 0, self.SIZE)
        source.close()

        self.fill(noise(self.SIZE, 2))

        self.assertEqual(
            noise(self.SIZE, 2), self.read(self.source(), 0, self.SIZE)
        )

    def test_whoever_tells_what_changed_says_why_not(self):
        self.assertEqual(
            self.storage.capabilities.changed_extents,
            isinstance(self, DifferenceTests),
        )

    # Targets

    def test_target_has_what_the_volume_held(self):
        content = noise(self.SIZE)
        self.fill(content)
        target = self.target()

        self.assertEqual(self.SIZE, target.size)
        self.assertFalse(target.truncated)
        self.assertLessEqual(sum(target.memory), self.most_memory())
        self.assertEqual(content, self.read(target, 0, self.SIZE))
        target.close()
        self.assertEqual(content, self.content())

    def test_truncated_target_reads_as_zeros(self):
        for is_new in (True, False):
            target = self.target(volume_is_new=is_new)
            if target.truncated:
                self.assertEqual(
                    bytes(self.SIZE), self.read(target, 0, self.SIZE)
                )
            target.close()

    def test_target_writes_any_range(self):
        content = bytearray(noise(self.SIZE))
        self.fill(content)
        target = self.target()

        for offset, length in (
            (0, PAGE),
            (MIB, 2 * PAGE + 13),
            (2 * MIB + 3, 5),
            (2 * MIB + PAGE + 1, 2 * PAGE),
            (self.SIZE - 7, 7),
            (self.SIZE, 0),
        ):
            piece = b'n' * length
            target.write(offset, aligned(piece))
            content[offset : offset + length] = piece
            self.assertEqual(piece, self.read(target, offset, length))
        # From an address that is not aligned.
        target.write(3 * MIB, aligned(b'o' * (PAGE + 1))[1:])
        content[3 * MIB : 3 * MIB + PAGE] = b'o' * PAGE
        target.flush()
        target.close()

        self.assertEqual(content, self.content())

    def test_target_writes_for_several_threads(self):
        content = noise(self.SIZE)
        target = self.target()

        def write(number: int) -> None:
            for offset in range(number * PAGE, self.SIZE, 32 * PAGE):
                piece = content[offset : offset + PAGE]
                target.write(offset, aligned(piece))

        self.in_threads(write, 32)
        target.flush()

        self.assertEqual(content, self.read(target, 0, self.SIZE))
        target.close()
        self.assertEqual(content, self.content())

    def test_target_zeroes_any_range(self):
        content = bytearray(noise(self.SIZE))
        self.fill(content)
        target = self.target()

        for offset, length in (
            (PAGE, MIB),
            (2 * MIB + 1, 99),
            (self.SIZE - 5, 5),
            (self.SIZE, 0),
        ):
            target.zero(offset, length)
            content[offset : offset + length] = bytes(length)
            self.assertEqual(bytes(length), self.read(target, offset, length))
        target.flush()
        target.close()

        self.assertEqual(content, self.content())

    def test_target_refuses_what_is_outside_the_volume(self):
        content = noise(self.SIZE)
        self.fill(content)
        target = self.target()

        for call in (
            lambda: target.write(self.SIZE - 1, memoryview(b'nn')),
            lambda: target.write(-1, memoryview(b'nn')),
            lambda: target.zero(self.SIZE - 1, 2),
            lambda: target.zero(-1, 2),
        ):
            self.assertRaises(ValueError, call)
        target.close()

        self.assertEqual(content, self.content())

    def test_alignment_is_a_power_of_two(self):
        alignment = self.target().alignment

        self.assertLess(0, alignment)
        self.assertEqual(0, alignment & (alignment - 1))

    # Both

    def openers(self):
        return (self.source, self.target)

    def test_close_leaves_nothing_open_and_may_be_called_twice(self):
        with self.leaves_nothing_open():
            for opener in self.openers():
                volume = opener()
                self.read(volume, 0, PAGE)
                volume.close()
                volume.close()

    def test_another_size_is_refused(self):
        content = noise(self.SIZE)
        self.fill(content)

        for size in self.OTHER_SIZES:
            for opener in self.openers():
                error = self.assertRaises(
                    errors.SizeMismatch, opener, size=size
                )
                self.assertIn(str(self.SIZE), str(error))
                self.assertIn(str(size), str(error))
        self.assertEqual(content, self.content())

    def test_what_is_not_there_is_refused(self):
        for opener in self.openers():
            self.assertRaises(self.UNKNOWN, opener, self.missing())

    def test_refused_leaves_nothing_open(self):
        with self.leaves_nothing_open():
            for opener in self.openers():
                self.assertRaises(
                    errors.SizeMismatch, opener, size=self.OTHER_SIZES[0]
                )
                self.assertRaises(self.UNKNOWN, opener, self.missing())


class AttachmentTests:
    """Mixed in where a volume is known by what the driver says."""

    UNKNOWN = errors.PathUnknown

    def attachment(self) -> base.Attachment:
        """What the driver says of the volume."""
        raise NotImplementedError

    def reference(self) -> base.Reference:
        return self.attached(self.attachment())

    def attached(self, attachment: base.Attachment) -> base.Reference:
        return base.Reference(VOLUME_ID, attachment)

    def test_what_is_no_attachment_is_refused(self):
        for broken in (
            None,
            {'kind': self.attachment()['kind']},
            dict.fromkeys(self.attachment()),
        ):
            self.assertRaises(
                errors.AttachmentInvalid,
                self.storage.find,
                self.attached(broken),
            )

    def test_no_secret_of_an_attachment_is_told(self):
        broken = self.attached(
            {**self.missing().attachment, 'auth_password': 's3cret'}
        )
        self.assertNotIn('s3cret', repr(broken))
        error = self.assertRaises(
            errors.ProductionError, self.storage.find, broken
        )
        self.assertNotIn('s3cret', str(error))


class DifferenceTests:
    """Mixed in where a storage may tell what changed.

    The reason why it can't is shown to the volume's owner.
    """

    def places(self) -> list[str]:
        """Paths and addresses that nobody but operators may see."""
        raise NotImplementedError

    def assert_no_difference(
        self, since: base.Snapshot, snapshot: base.Snapshot | None = None
    ) -> None:
        error = self.assertRaises(
            errors.DifferenceUnavailable,
            *(self.source, None, None, snapshot, since),
        )
        for place in self.places():
            self.assertNotIn(place, str(error))

    def test_no_difference_to_what_was_never_there(self):
        self.assert_no_difference(base.Snapshot('4711', 'four'))


class ExclusiveTests:
    """Mixed in where a target has its volume for itself."""

    def test_target_is_used_by_nobody_else(self):
        source = self.source()
        self.assertRaises(errors.PathBusy, self.target)
        source.close()

        target = self.target()
        self.assertRaises(errors.PathBusy, self.target)
        self.assertRaises(errors.PathBusy, self.source)
        target.close()

        self.source()


class HoldTests:
    """Mixed in where the driver's end is seen by the volume."""

    def hold(self) -> tuple[base.Reference, Callable[[], None]]:
        """To the volume, which is held; and what lets go of it."""
        raise NotImplementedError

    def test_held_volume_is_used(self):
        reference, _ = self.hold()
        source = self.source(reference)
        self.assertEqual(bytes(5), self.read(source, 0, 5))
        source.close()
        target = self.target(reference)
        target.write(0, memoryview(b'new'))
        target.flush()
        target.close()
        self.assertEqual(b'new\0\0', self.content()[:5])

    def test_volume_that_was_let_go_is_not_opened(self):
        reference, let_go = self.hold()
        let_go()
        with self.leaves_nothing_open():
            for opener in self.openers():
                error = self.assertRaises(errors.DriverLost, opener, reference)
                self.assertTrue(error.retryable)

    def test_source_that_is_let_go_is_left_alone_at_once(self):
        reference, let_go = self.hold()
        source = self.source(reference)
        let_go()
        self.assertRaises(errors.DriverLost, self.read, source, 0, 1)

    def test_target_that_is_let_go_is_left_alone_at_once(self):
        content = noise(self.SIZE)
        self.fill(content)
        reference, let_go = self.hold()
        target = self.target(reference)
        let_go()
        for action in (
            lambda: self.read(target, 0, 1),
            lambda: target.write(0, memoryview(b'new')),
            lambda: target.write(0, aligned(bytes(PAGE))),
            lambda: target.zero(0, MIB),
        ):
            self.assertRaises(errors.DriverLost, action)
        target.close()
        self.assertEqual(content, self.content())
