# SPDX-License-Identifier: Apache-2.0
"""Parsers meet what nobody has written: no crash, no unbounded allocation."""

import contextlib
import json
import uuid

import hypothesis
from hypothesis import strategies as st
import lz4.block
import zstandard

from ebackup_service.repository import account
from ebackup_service.repository import codec
from ebackup_service.repository import config
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import ids
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import markers
from ebackup_service.repository import opened
from ebackup_service.repository import owner
from ebackup_service.repository import pack
from ebackup_service.repository import pack_table
from ebackup_service.repository import page
from ebackup_service.repository import reader
from ebackup_service.repository import record
from ebackup_service.repository import root as image_root
from ebackup_service.repository import tree
from tests import base
from tests.unit.ebackup_service.repository import hostile
from tests.unit.ebackup_service.repository import strategies
from tests.unit.ebackup_service.repository import test_account

MIB = hostile.MIB
IMAGE = str(uuid.UUID(int=1))
SESSION = uuid.UUID(int=2).bytes
CONFIG = config.RepositoryConfig.new(str(uuid.UUID(int=3)), pack.MIN_SIZE)
HASHER = ids.chunk_hasher(CONFIG.key)
ADDRESS = location.PackAddress(SESSION, location.DATA, 1)
WHERE = location.Locator(
    bytes(32), location.PackAddress(SESSION, location.PAGE, 1), 128, 100, 1
)
ROOT = image_root.Root(
    image_id=IMAGE,
    chain=image_root.Chain('project', 'volume'),
    generation=1,
    size=MIB,
    chunk_size=4096,
    tree=WHERE,
    record={'id': 'x'},
    session_id=IMAGE,
)
# What reads a document of each kind, and a valid one.
DOCUMENTS = {
    'root': (lambda data: image_root.Root.from_bytes(data, 'key'), ROOT),
    'commit': (
        lambda data: markers.Commit.from_bytes(data, 'key', IMAGE),
        markers.Commit(IMAGE, '0' * 64, 1),
    ),
    'tombstone': (
        lambda data: markers.Tombstone.from_bytes(data, 'key', IMAGE),
        markers.Tombstone(IMAGE, chain=ROOT.chain, generation=1),
    ),
    'owner': (owner.Owner.from_bytes, owner.Owner('service', 1)),
    'repository': (config.RepositoryConfig.from_bytes, CONFIG),
    'account': (
        lambda data: account.Account.from_bytes(data, 'key'),
        test_account.made(
            test_account.entry(1, None),
            test_account.entry(2, session_id=IMAGE),
        ),
    ),
}
UNREADABLE = (errors.Corrupt, errors.UnsupportedFormat)
NO_RECORD = (record.Malformed, errors.UnsupportedFormat)


def given(strategy):
    return strategies.given(strategy)


def make_pack() -> bytes:
    """A small valid pack: stored, zstd, lz4."""
    builder = pack.PackBuilder(pack.MIN_SIZE)
    builder.start(ADDRESS, uuid.UUID(CONFIG.id).bytes)
    for number, compression in enumerate(codec.COMPRESSIONS):
        plain = bytes([number]) * 200 + bytes(range(100))
        encoding, payload = codec.Encoder(compression).encode(plain)
        builder.append(
            location.DATA, encoding, HASHER(plain), len(plain), payload
        )
    return bytes(builder.seal())


PACK = make_pack()


class DocumentTestCase(base.BaseTestCase):
    def read(self, kind, data):
        read, _ = DOCUMENTS[kind]
        # A JSON text takes some times its length as Python's objects.
        with hostile.bounded(MIB + 64 * len(data)):
            with contextlib.suppress(*UNREADABLE):
                read(data)

    @given(st.data())
    def test_damaged_bytes(self, data):
        for kind, (_, valid) in DOCUMENTS.items():
            self.read(
                kind, data.draw(hostile.damaged(st.just(valid.to_bytes())))
            )

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_body(self, body):
        for kind in DOCUMENTS:
            self.read(kind, hostile.sealed(kind, body))

    @given(st.data())
    def test_other_members(self, data):
        for kind, (_, valid) in DOCUMENTS.items():
            content = document.unseal(
                kind, layout.REPOSITORY, valid.to_bytes()
            )
            body = json.dumps(data.draw(hostile.changed(st.just(content))))
            self.read(kind, hostile.sealed(kind, body.encode()))

    def test_bodies_that_are_made_to_be_large(self):
        for body in (
            b'[' * MIB,
            b'{"a":' * MIB,
            b'[' + b'[],' * (MIB // 3) + b'[]]',
            b'{"a":[' + b'{},' * (MIB // 3) + b'{}]}',
            b'9' * MIB,
            b'1e' + b'9' * MIB,
            b'"' + b'\\u0000' * (MIB // 6) + b'"',
        ):
            for kind in DOCUMENTS:
                self.read(kind, hostile.sealed(kind, body))

    def test_accounts_of_packs_that_are_far_from_each_other(self):
        _, valid = DOCUMENTS['account']
        content = document.unseal('account', 'key', valid.to_bytes())
        count = 20_000
        for step in (1, 16, 31, 32, 63, 64, 4096):
            packs = {
                **content['packs'][0],
                'ordinals': [number * step for number in range(count)],
                'counts': [1] * count,
                'sums': ['0' * 15 + '1'] * count,
            }
            text = json.dumps({**content, 'packs': [packs]})
            data = hostile.sealed('account', text.encode())
            with hostile.bounded(20 * len(data)):
                account.Account.from_bytes(data, 'key')

    def test_accounts_of_many_sessions(self):
        _, valid = DOCUMENTS['account']
        content = document.unseal('account', 'key', valid.to_bytes())
        packs = [
            {**content['packs'][0], 'session': str(uuid.UUID(int=number))}
            for number in range(10_000)
        ]
        text = json.dumps({**content, 'packs': packs})
        data = hostile.sealed('account', text.encode())
        with hostile.bounded(20 * len(data)):
            account.Account.from_bytes(data, 'key')

    def test_texts_that_are_not_utf8(self):
        text = '{"id":1}'
        for body in (
            text.encode('utf-16'),
            text.encode('utf-32'),
            text.encode('utf-8-sig'),
            b'{"id":"\xed\xa0\x80"}',
        ):
            self.assertRaises(
                errors.Corrupt,
                document.unseal,
                'root',
                'key',
                hostile.sealed('root', body),
            )

    def test_what_is_no_number_in_json(self):
        for body in (b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}'):
            self.assertRaises(
                errors.Corrupt,
                document.unseal,
                'root',
                'key',
                hostile.sealed('root', body),
            )


class LocatorTestCase(base.BaseTestCase):
    @given(hostile.changed(st.just(WHERE.to_json())))
    def test_other_members(self, content):
        hypothesis.assume(isinstance(content, dict))
        with hostile.bounded(MIB):
            try:
                found = location.Locator.from_json(content)
            except ValueError:
                return
        self.assertEqual(found, location.Locator.from_json(found.to_json()))


class KeyTestCase(base.BaseTestCase):
    @given(
        hostile.damaged(
            st.sampled_from(
                [
                    layout.pack_key(ADDRESS),
                    layout.root_key(IMAGE),
                    layout.commit_key(IMAGE),
                    layout.tombstone_key(IMAGE),
                ]
            ).map(str.encode)
        )
    )
    def test_any_key(self, data):
        key = data.decode(errors='surrogateescape')
        address = layout.parse_pack(key)
        if address is not None:
            self.assertEqual(key, layout.pack_key(address))
        image = layout.parse_image(key)
        if image is not None:
            self.assertEqual(key, f'images/{image[0]}/{image[1]}')
        image_id = layout.parse_tombstone(key)
        if image_id is not None:
            self.assertEqual(key, layout.tombstone_key(image_id))
        layout.parse_session(key)


class PageTestCase(base.BaseTestCase):
    @given(st.data())
    def test_damaged_pages(self, data):
        made, _ = data.draw(strategies.pages(min_entries=1))
        plain = data.draw(hostile.damaged(st.just(made.encode())))
        with hostile.bounded(MIB):
            with contextlib.suppress(*NO_RECORD):
                found = page.decode(plain, made.level, made.index)
                # It is what it says, and can be used.
                self.assertEqual(
                    found.encode(),
                    page.decode(
                        found.encode(), made.level, made.index
                    ).encode(),
                )
                for slot in found.present.nonzero()[0].tolist():
                    found.locator(slot)

    @given(st.data())
    def test_pages_that_lead_astray(self, data):
        """Valid pages, with right ids, that name what is no record."""
        key = layout.pack_key(ADDRESS)
        repo = opened.OpenRepository(hostile.Objects({key: PACK}), CONFIG)
        leaf = page.Leaf(0)
        for slot in data.draw(st.sets(st.integers(0, 255), max_size=8)):
            leaf.set(
                slot,
                location.Locator(
                    data.draw(strategies.IDS),
                    ADDRESS,
                    data.draw(
                        st.integers(0, len(PACK)) | st.integers(0, 2**31)
                    ),
                    data.draw(
                        st.integers(65, len(PACK))
                        | st.integers(65, record.max_length(location.DATA))
                    ),
                    1,
                ),
            )
        with hostile.bounded(MIB):
            with contextlib.suppress(errors.Corrupt):
                for _ in reader.RecordReader(repo).read_slots(leaf):
                    self.fail('there is no such record')

    @given(st.data())
    def test_trees_that_lead_astray(self, data):
        """A page may only name pages of the level below."""
        made, _ = data.draw(strategies.pages(min_entries=1))
        size = data.draw(st.sampled_from([1, MIB, MIB + 1, 2**40, 2**63 - 1]))
        shape = tree.Tree(
            opened.OpenRepository(hostile.Objects({}), CONFIG),
            WHERE,
            size,
            4096,
        )
        with hostile.bounded(MIB):
            with contextlib.suppress(*UNREADABLE):
                tree.decode(
                    made.encode(), WHERE, shape.height, 0, shape.geometry
                )
            self.assertGreaterEqual(7, shape.height)


class RecordTestCase(base.BaseTestCase):
    def decode(self, data, kind=location.DATA):
        record_id = bytes(data[32:64])
        with hostile.bounded(record.max_length(kind) + MIB):
            with contextlib.suppress(*NO_RECORD):
                record.decode(
                    memoryview(data), kind, record_id, codec.Decoder(), HASHER
                )

    @given(hostile.damaged(st.just(PACK[128:])))
    def test_damaged_records(self, data):
        for kind in location.KINDS:
            self.decode(data, kind)
            self.decode(hostile.with_checksums(data), kind)

    @given(st.data())
    def test_any_payload(self, data):
        kind = data.draw(st.sampled_from(location.KINDS))
        payload = data.draw(
            st.binary(min_size=1, max_size=300)
            | hostile.damaged(st.just(zstandard.compress(bytes(range(200)))))
            | hostile.damaged(
                st.just(
                    lz4.block.compress(bytes(range(200)) * 3, store_size=False)
                )
            )
        )
        hypothesis.assume(payload)
        most = record.max_length(kind) - record.HEADER_SIZE
        self.decode(
            record.pack_header(
                kind,
                data.draw(st.integers(0, 2)),
                data.draw(st.integers(len(payload), most)),
                len(payload),
                bytes(32),
            )
            + payload,
            kind,
        )

    def test_payloads_that_are_made_to_be_large(self):
        most = record.MAX_CHUNK
        huge = zstandard.ZstdCompressor(level=19).compress(bytes(64 * MIB))
        unknown = zstandard.ZstdCompressor(
            level=19, write_content_size=False
        ).compress(bytes(64 * MIB))
        skippable = b'\x50\x2a\x4d\x18' + (2**32 - 1).to_bytes(4, 'little')
        bomb = lz4.block.compress(bytes(64 * MIB), store_size=False)
        for encoding, payload in (
            (codec.ZSTD, huge),
            (codec.ZSTD, unknown),
            (codec.ZSTD, skippable + bytes(100)),
            (codec.ZSTD, zstandard.compress(bytes(most)) * 2),
            (codec.LZ4, bomb),
            (codec.LZ4, b'\xff' * 1000),
        ):
            for plain_length in (len(payload), most):
                if len(payload) <= plain_length:
                    head = record.pack_header(
                        location.DATA,
                        encoding,
                        plain_length,
                        len(payload),
                        bytes(32),
                    )
                    self.decode(head + payload)


class PackTableTestCase(base.BaseTestCase):
    def read(self, data, repo_size=None):
        key = layout.pack_key(ADDRESS)
        repo = opened.OpenRepository(hostile.Objects({key: data}), CONFIG)
        with hostile.bounded(4 * MIB):
            with contextlib.suppress(*UNREADABLE):
                pack_table.load(repo, ADDRESS)
            for row in pack_table.scan(repo, ADDRESS):
                end = int(row['offset']) + int(row['length'])
                self.assertLessEqual(end, len(data))

    @given(hostile.damaged(st.just(PACK)))
    def test_damaged_packs(self, data):
        self.read(data)
        self.read(hostile.with_checksums(data))

    @given(st.binary(max_size=500))
    def test_any_bytes(self, data):
        self.read(data)
        self.read(hostile.with_checksums(PACK[:128] + data + PACK[-32:]))

    def test_packs_that_are_made_to_be_large(self):
        for data in (
            record.MAGIC * (MIB // 4),
            bytes(2 * MIB),
            hostile.with_checksums(PACK[128:200] * 10_000),
        ):
            self.read(data)
