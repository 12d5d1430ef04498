# SPDX-License-Identifier: Apache-2.0
"""A small repository, and where it can be damaged.

The regions are those that the format names, so that none is left out.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import random
import re
from typing import NamedTuple

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from tests.unit.ebackup_service.repository import base

# Of longer regions, so many bytes are drawn.
SAMPLE = 6
SIZE = base.LEAF + 3 * base.CHUNK

PACK_HEADER = (
    ('magic', 8),
    ('format', 2),
    ('kind', 1),
    ('zero', 1),
    ('ordinal', 4),
    ('session', 16),
    ('repository', 16),
    ('zeros', 76),
    ('checksum', 4),
)
RECORD_HEADER = (
    ('magic', 4),
    ('kind', 1),
    ('encoding', 1),
    ('length of the extension', 2),
    ('plain length', 4),
    ('length of the payload', 4),
    ('key epoch', 4),
    ('zeros', 8),
    ('checksum', 4),
    ('id', 32),
)
ROW = (
    ('id', 32),
    ('offset', 4),
    ('length', 4),
    ('plain length', 4),
    ('kind', 1),
    ('encoding', 1),
    ('zero', 2),
)
TRAILER = (
    ('number of records', 4),
    ('offset of the table', 4),
    ('checksum of the table', 4),
    ('zeros', 8),
    ('checksum', 4),
    ('magic', 8),
)
PAGE_HEADER = (
    ('magic', 4),
    ('format', 1),
    ('level', 1),
    ('flags', 2),
    ('number of packs', 2),
    ('number of entries', 2),
    ('number of bases', 2),
    ('zero', 2),
    ('index', 8),
    ('zeros', 8),
    ('presence', 32),
)
PAGE_PACK = (('session', 16), ('kind', 1), ('zeros', 3), ('ordinal', 4))
PAGE_ENTRY = (
    ('id', 32),
    ('pack', 2),
    ('flags', 2),
    ('offset', 4),
    ('length', 4),
    ('generation', 4),
)
DOCUMENT = re.compile(
    rb'\{"ebackup":"(?P<type>\w+)","version":(?P<version>1),'
    rb'"length":(?P<length>\d+),"checksum":"(?P<checksum>\w+)"\}'
    rb'(?P<feed>\n)(?P<body>.*)(?P<end>\n)',
    re.DOTALL,
)


class Region(NamedTuple):
    """Some bytes of an object."""

    name: str
    begin: int
    length: int

    def offsets(self) -> Iterator[int]:
        """All bytes, or some of many."""
        whole = range(self.begin, self.begin + self.length)
        yield from (
            whole if self.length <= SAMPLE else random.sample(whole, SAMPLE)
        )


def fields(what: str, begin: int, layout_: tuple) -> Iterator[Region]:
    for name, length in layout_:
        yield Region(f'{what}: {name}', begin, length)
        begin += length


def document_regions(data: bytes) -> Iterator[Region]:
    found = DOCUMENT.fullmatch(data)
    for name in DOCUMENT.groupindex:
        yield Region(
            name, found.start(name), found.end(name) - found.start(name)
        )
    yield Region('first line', 0, found.end('feed'))


class DamageTestCase(base.RepositoryTestCase):
    """Two images; the second one has a chunk of its own.

    Nothing is compressed, so that the bytes of pages are those of the format.
    """

    def setUp(self):
        super().setUp()
        self.repo.claim('service', 1)
        session = self.repo.session

        def plain_session(*args, **kwargs):
            return session(*args, **{**kwargs, 'compression': 'none'})

        self.repo.session = plain_session
        data = bytearray(SIZE)
        for chunk in (3, 7, 256, 258):
            begin = chunk * base.CHUNK
            data[begin : begin + base.CHUNK] = os.urandom(base.CHUNK)
        self.first = self.backup(bytes(data))
        data[5 * base.CHUNK] ^= 1
        self.second = self.backup(bytes(data), base=self.first, generation=2)
        self.gone = base.new_id()
        self.repo.delete_image(self.gone)
        self.before = self.keys()

    def object(self, key: str) -> bytes:
        with open(os.path.join(self.path, key), 'rb') as file:
            return file.read()

    def pack(self, kind: int) -> str:
        """The key of a pack that the first image has."""
        for key in sorted(self.before):
            address = layout.parse_pack(key)
            if (
                address is not None
                and address.kind == kind
                and layout.parse_session(key) == self.first.session.id
            ):
                return key
        raise LookupError(kind)

    @contextlib.contextmanager
    def instead(self, key: str, data: bytes) -> Iterator[None]:
        """An object has other bytes for a while."""
        path = os.path.join(self.path, key)
        old = self.object(key)
        with open(path, 'wb') as file:
            file.write(data)
        try:
            yield
        finally:
            with open(path, 'wb') as file:
                file.write(old)

    @contextlib.contextmanager
    def flipped(self, key: str, offset: int) -> Iterator[None]:
        bit = random.randrange(8)
        self.flip(key, offset, bit)
        try:
            yield
        finally:
            self.flip(key, offset, bit)

    def outcome(self, function: Callable[[], object]) -> str:
        """'' or what it says of the damage."""
        try:
            function()
        except errors.Corrupt as error:
            return str(error)
        return ''

    def restore_both(self):
        for image in (self.first, self.second):
            self.assertEqual(image.data, self.restore(image.id))

    def assert_told(self, key: str):
        """A check names the object."""
        report = self.check()
        self.assertTrue(
            any(key in problem for problem in report.problems),
            report.problems,
        )

    def assert_collection(self, stops: bool):
        """It deletes nothing, and stops if it can't know what is needed.

        A whole one: others look at what has changed only.
        """
        said = self.outcome(lambda: self.collect(whole=True))
        self.assertEqual(stops, bool(said))
        self.assertEqual(self.before, self.keys())
