# SPDX-License-Identifier: Apache-2.0
"""A volume of the demonstration, and a file for programs to work on.

Neither makes use of eBackup: what they say of the bytes is a proof.
"""

import pathlib
import subprocess
from typing import Protocol

from lablib import ceph
from lablib import lab as lab_module
from lablib import volumes


class Volume(Protocol):
    # Of the volume's size; what is changed in it counts once it is stored.
    path: pathlib.Path

    def store(self) -> int | None:
        """Let the volume hold what the file does.

        Return how many bytes were changed, as far as one can know.
        """

    def sha256(self) -> str:
        """Return the digest of the volume's bytes, which the file then has."""


def find(lab: lab_module.Lab, volume_id: str, work: pathlib.Path) -> Volume:
    """Return a volume of any back end; a copy is made below `work`."""
    if lab.settings.ceph:
        work.mkdir(exist_ok=True)
        return ImageVolume(lab, volume_id, work / volume_id)
    return FileVolume(volumes.find(lab, volume_id))


class FileVolume:
    """One that is a file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def store(self) -> None:
        pass

    def sha256(self) -> str:
        return _sha256(self.path)


class ImageVolume:
    """One that is an image in Ceph; the file is a copy of it."""

    def __init__(
        self, lab: lab_module.Lab, volume_id: str, path: pathlib.Path
    ) -> None:
        self._lab = lab
        self._id = volume_id
        self._export = [
            *('rbd', '--conf', ceph.conf(lab), '--no-progress', 'export'),
            f'{ceph.POOL}/volume-{volume_id}',
        ]
        self.path = path
        self._copy()

    def store(self) -> int:
        return volumes.update(self._lab, self._id, self.path)

    def sha256(self) -> str:
        self._copy()
        return _sha256(self.path)

    def _copy(self) -> None:
        self.path.unlink(missing_ok=True)
        subprocess.run([*self._export, str(self.path)], check=True)


def _sha256(path: pathlib.Path) -> str:
    return subprocess.run(
        ['sha256sum', str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()[0]
