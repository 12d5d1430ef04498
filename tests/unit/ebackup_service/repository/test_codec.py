# SPDX-License-Identifier: Apache-2.0
import os
import random

from hypothesis import strategies as st
import zstandard

from ebackup_service import conf
from ebackup_service.repository import codec
from ebackup_service.repository import record
from tests import base
from tests.unit.ebackup_service.repository import strategies

ENCODERS = {
    (name, level): codec.Encoder(name, level)
    for name, level in (('zstd', 1), ('zstd', -5), ('lz4', 1), ('none', 1))
}
PLAIN = st.one_of(
    st.binary(min_size=1, max_size=500),
    st.builds(
        lambda part, times: part * times,
        st.binary(min_size=1, max_size=20),
        st.integers(1, 500),
    ),
)


class EncodeTestCase(base.BaseTestCase):
    def test_default_level_is_that_of_the_option(self):
        self.assertEqual(
            codec.DEFAULT_LEVEL, conf.new().repository.compression_level
        )

    @strategies.given(PLAIN, st.sampled_from(sorted(ENCODERS)))
    def test_round_trip(self, plain, name):
        encoding, payload = ENCODERS[name].encode(memoryview(plain))

        self.assertLessEqual(len(payload), len(plain))
        decoder, into = codec.Decoder(), memoryview(bytearray(len(plain)))
        self.assertEqual(
            plain,
            bytes(decoder.decode(encoding, memoryview(payload), len(plain))),
        )
        self.assertIs(
            into,
            decoder.decode(encoding, memoryview(payload), len(plain), into),
        )
        self.assertEqual(plain, bytes(into))

    def test_what_shrinks_is_compressed(self):
        plain = b'ab' * 32768

        for name, expected in (('zstd', codec.ZSTD), ('lz4', codec.LZ4)):
            encoding, payload = codec.Encoder(name).encode(plain)
            self.assertEqual(expected, encoding)
            self.assertLess(len(payload), 1000)

    def test_what_does_not_shrink_is_stored_as_it_is(self):
        plain = os.urandom(65536)

        for name in codec.COMPRESSIONS:
            encoding, payload = codec.Encoder(name).encode(plain)
            self.assertEqual(codec.STORED, encoding)
            self.assertIs(plain, payload)

    def test_what_shrinks_by_a_hair_is_stored_as_it_is(self):
        plain = os.urandom(65536 - 1000) + bytes(1000)

        encoding, _ = codec.Encoder('zstd').encode(plain)

        self.assertEqual(codec.STORED, encoding)

    def test_after_what_did_not_shrink_a_sample_decides(self):
        half = 65536
        noise = os.urandom(half)
        text = b'ab' * (half // 2)

        for name, expected in (('zstd', codec.ZSTD), ('lz4', codec.LZ4)):
            encoder = codec.Encoder(name)
            for plain, encoding in (
                (noise + noise[::-1], codec.STORED),
                # In either half there is something to be seen.
                (noise + text, expected),
                (noise + noise[::-1], codec.STORED),
                (text + noise, expected),
                (noise + noise[::-1], codec.STORED),
                (text + text, expected),
                # Too little for samples.
                (noise[:1000], codec.STORED),
                (text[:1000], expected),
            ):
                self.assertEqual(
                    encoding, encoder.encode(memoryview(plain))[0]
                )

    def test_what_would_not_shrink_is_not_compressed_again_and_again(self):
        lengths = []
        encoder = codec.Encoder('zstd')
        compress = encoder._compress

        def counting(plain):
            lengths.append(len(plain))
            return compress(plain)

        encoder._compress = counting
        for _ in range(3):
            encoder.encode(os.urandom(131072))

        self.assertEqual(131072, lengths[0])
        self.assertEqual(4, len(lengths[1:]))
        self.assertLess(sum(lengths[1:]), 10000)

    def test_unknown_ones_are_refused(self):
        self.assertRaises(ValueError, codec.Encoder, 'zip')
        self.assertRaises(ValueError, codec.Encoder, 'zstd', 23)
        self.assertRaises(ValueError, codec.Encoder, 'zstd', -8)


class DecodeTestCase(base.BaseTestCase):
    def refused(self, encoding, payload, length):
        for into in None, memoryview(bytearray(length)):
            self.assertRaises(
                codec.DecodeError,
                codec.Decoder().decode,
                encoding,
                payload,
                length,
                into,
            )

    def test_room_for_another_length_is_refused(self):
        for name in codec.COMPRESSIONS:
            encoding, payload = codec.Encoder(name).encode(b'a' * 1000)
            for length in 999, 1001:
                self.assertRaises(
                    codec.DecodeError,
                    codec.Decoder().decode,
                    encoding,
                    payload,
                    1000,
                    memoryview(bytearray(length)),
                )

    def test_frame_that_needs_a_large_window_is_refused(self):
        """It would be allocated: it isn't all there, so not done at once."""
        plain = os.urandom(1 << 20) * 4
        frame = zstandard.ZstdCompressor(
            compression_params=zstandard.ZstdCompressionParameters.from_level(
                1, window_log=23
            )
        ).compressobj(size=2 * len(plain))
        frame = frame.compress(2 * plain) + frame.flush()
        self.refused(codec.ZSTD, frame[:-100], 2 * len(plain))

    def test_wrong_length_is_refused(self):
        for name in codec.COMPRESSIONS:
            encoding, payload = codec.Encoder(name).encode(b'a' * 1000)
            self.refused(encoding, payload, 999)
            self.refused(encoding, payload, 1001)

    def test_frame_that_claims_terabytes_is_not_believed(self):
        frame = bytearray(zstandard.ZstdCompressor().compress(b'a' * 70000))
        # Frame header: 8 bytes of content size instead of 4.
        frame[4] = frame[4] & 0x3F | 0xC0
        frame[5:9] = (2**42).to_bytes(8, 'little')

        self.refused(codec.ZSTD, bytes(frame), 70000)

    def test_frame_without_its_length_is_refused(self):
        frame = zstandard.ZstdCompressor(write_content_size=False).compress(
            b'a' * 1000
        )

        self.refused(codec.ZSTD, frame, 1000)

    def test_more_or_less_than_a_frame_is_refused(self):
        """Also what stands for no bytes at all."""
        plain = random.Random(1).randbytes(3000) * 100
        empty = zstandard.ZstdCompressor().compress(b'')
        skippable = b'\x50\x2a\x4d\x18' + bytes(4)
        for compressor in (
            zstandard.ZstdCompressor(),
            zstandard.ZstdCompressor(write_checksum=True),
        ):
            frame = compressor.compress(plain)
            for more in (b'more', b'\0', empty, skippable, frame, frame[:4]):
                self.refused(codec.ZSTD, frame + more, len(plain))
            for cut in 1, 3, 4, len(frame) - 20:
                self.refused(codec.ZSTD, frame[:-cut], len(plain))
            into = memoryview(bytearray(len(plain)))
            codec.Decoder().decode(codec.ZSTD, frame, len(plain), into)
            self.assertEqual(plain, bytes(into))

    def test_frames_of_all_kinds_of_blocks(self):
        for plain in (
            b'a',
            os.urandom(300000),  # stored
            b'a' * 300000,  # repeated
            b'ab' * 150000 + os.urandom(200000) + bytes(200000),
            bytes(4 << 20),
        ):
            for level in -5, 1, 19:
                frame = zstandard.ZstdCompressor(level=level).compress(plain)
                into = memoryview(bytearray(len(plain)))
                codec.Decoder().decode(codec.ZSTD, frame, len(plain), into)
                self.assertEqual(plain, bytes(into))

    def test_longest_plain_text_is_a_window(self):
        self.assertEqual(codec._LARGEST, record.MAX_CHUNK)

    def test_unknown_encoding_is_refused(self):
        self.refused(3, b'abc', 3)

    @strategies.given(
        st.sampled_from([codec.ZSTD, codec.LZ4]),
        st.binary(max_size=200),
        st.integers(1, 4096),
    )
    def test_garbage_is_refused_or_has_the_right_length(
        self, encoding, payload, length
    ):
        found = []
        for into in None, memoryview(bytearray(length)):
            try:
                plain = codec.Decoder().decode(encoding, payload, length, into)
            except codec.DecodeError:
                found.append(None)
            else:
                self.assertEqual(length, len(plain))
                found.append(bytes(plain))
        self.assertEqual(*found)
