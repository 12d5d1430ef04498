# SPDX-License-Identifier: Apache-2.0
import io

from ebackup_service.production import base as production
from ebackup_service.production import errors
from ebackup_service.production import memory
from ebackup_service.production import named
from tests import base


class PlayedSource:
    """Only what is asked of it."""

    size = 100
    gaps = production.ExtentKind.HOLE
    waits = False
    memory = memory.Memory(3, 5)

    def __init__(self):
        self.content = io.BytesIO(bytes(range(100)))
        self.expected = []

    def expect(self, offset, length):
        self.expected.append((offset, length))

    def read(self, offset, buffer):
        self.content.seek(offset)
        self.content.readinto(buffer)
        return buffer

    def confirm(self):
        raise errors.SnapshotUnknown

    def close(self):
        self.content.close()


class NamedSourceTest(base.BaseTestCase):
    def test_everything_else_is_unchanged(self):
        source = named.NamedSource(PlayedSource(), [(3, 4), (50, 1)])
        self.assertEqual(production.ExtentKind.UNCHANGED, source.gaps)
        data = production.ExtentKind.DATA
        for _ in range(2):
            self.assertEqual(
                [(3, 4, data), (50, 1, data)], list(source.extents())
            )

    def test_the_other_one_is_read_and_closed(self):
        other = PlayedSource()
        source = named.NamedSource(other, [])
        self.assertEqual((100, False), (source.size, source.waits))
        self.assertEqual((3, 5), source.memory)
        source.expect(7, 3)
        self.assertEqual([(7, 3)], other.expected)
        buffer = bytearray(3)
        source.read(7, memoryview(buffer))
        self.assertEqual(b'\x07\x08\x09', buffer)
        self.assertRaises(errors.SnapshotUnknown, source.confirm)
        source.close()
        self.assertTrue(other.content.closed)
