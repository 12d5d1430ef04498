# SPDX-License-Identifier: Apache-2.0
"""Volumes that Cinder has cloned from images in another pool of Ceph."""

import pathlib
import tempfile

from tests.functional import base
from tests.functional import test_rbd

MIB = base.MIB
HOLE = 4 * MIB
SNAPSHOT = 'snap'


class TestVolumeOfImage(test_rbd.RbdTestCase):
    def made_of_image(self, content: bytes) -> str:
        """A volume as Cinder makes it of an image of Glance's.

        The lab has no Glance. What the administrator makes here stands for
        what Glance does with a raw image, and what Cinder's user does for
        clone_image() of Cinder's driver: the clone takes the place, and the
        name, of the volume's own image.
        """
        image = f'images/{base.unique("image")}'
        source = f'{image}@{SNAPSHOT}'
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, 'raw')
            file.write_bytes(content)
            self.lab.rbd('import', '--no-progress', str(file), image)
        self.addCleanup(self.lab.rbd, 'rm', '--no-progress', image)
        self.lab.rbd('snap', 'create', '--no-progress', source)
        self.addCleanup(self.lab.rbd, 'snap', 'rm', '--no-progress', source)
        self.lab.rbd('snap', 'protect', source)
        self.addCleanup(self.lab.rbd, 'snap', 'unprotect', source)
        volume = self.create_volume()
        name = f'volumes/volume-{volume}'
        for command in (
            ('rm', '--no-progress', name),
            ('clone', source, name),
            ('resize', '--no-progress', '--size', '1G', name),
        ):
            self.lab.rbd(*command, user='cinder')
        return volume

    def test_what_its_image_holds_is_backed_up_and_restored(self) -> None:
        content = self.random.randbytes(8 * MIB) + bytes(HOLE)
        content += self.random.randbytes(4 * MIB)
        volume = self.made_of_image(content)
        self.assertEqual(content, self.read(volume, 0, len(content)))
        self.change(volume, MIB)
        self.change(volume, len(content) + MIB)
        digest = self.sha256(volume)
        first = self.backup(volume)
        self.assert_restored(first, digest)
        self.change(volume, 2 * MIB)
        result = self.result(self.backup(volume))
        self.assertEqual('named', result['changes'])
        self.assertEqual(base.CHUNK, result['bytes_read'])
        self.restore(first, volume)
        self.assertEqual(digest, self.sha256(volume))
