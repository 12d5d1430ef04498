# SPDX-License-Identifier: Apache-2.0
"""The volumes of the lab: their files, and their bytes.

Snapshots and clones are instant on a file system that shares blocks between
files. Where DIR's can't, root makes one that can: an xfs image, mounted in
DIR. Otherwise they are sparse copies.
"""

import fcntl
import json
import os
import pathlib
import subprocess
import tempfile

from lablib import configuration
from lablib import console
from lablib import lab as lab_module
from lablib import rbd_pool
from lablib import sparse
from lablib import system

# Sparse: it takes what the volumes take.
_IMAGE_SIZE = '256G'
_FICLONE = 0x40049409


def prepare(lab: lab_module.Lab) -> None:
    lab.volumes.mkdir(exist_ok=True)
    if not lab.volumes.is_mount() and (
        lab.volume_image.exists() or _worth_an_image(lab)
    ):
        with console.step('mounting a file system for volumes'):
            _mount_image(lab)
    for name in configuration.volume_types(lab):
        if name not in configuration.TYPES:
            continue
        path = lab.volumes / name
        path.mkdir(exist_ok=True)
        if system.is_root():
            os.chown(path, 0, lab.settings.volume_group)
            path.chmod(0o750)


def release(lab: lab_module.Lab) -> None:
    """Detach what is attached and unmount, to make removing DIR possible."""
    if not system.is_root():
        return
    for device, _file in _loop_devices(lab.volumes):
        subprocess.run(['losetup', '--detach', device], check=True)
    while lab.volumes.is_mount():
        done = subprocess.run(
            ['umount', str(lab.volumes)], stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise console.Problem(
                f'{lab.volumes} can not be unmounted: {done.stderr.strip()}'
            )


def find(lab: lab_module.Lab, volume_id: str) -> pathlib.Path:
    """Return the file that holds the volume's bytes."""
    path = _file(lab, volume_id)
    if path is None:
        raise console.Problem(f'there is no file of volume {volume_id}')
    return path


def read(
    lab: lab_module.Lab, volume_id: str, offset: int, length: int
) -> bytes:
    path = _file(lab, volume_id)
    if path is None:
        where = str(offset), str(length)
        return rbd_pool.work(lab, _image(volume_id), 'read', *where)
    with path.open('rb') as file:
        file.seek(offset)
        return file.read(length)


def give_size(lab: lab_module.Lab, volume_id: str, size: int) -> None:
    """Let a file that somebody has made shorter be that large again."""
    path = _file(lab, volume_id)
    if path is not None and path.stat().st_size < size:
        os.truncate(path, size)


def write(
    lab: lab_module.Lab, volume_id: str, *pieces: tuple[int, bytes]
) -> None:
    """Write pieces, each at its offset, into a volume that is not attached."""
    path = _file(lab, volume_id)
    if path is None:
        places = [f'{offset}:{len(data)}' for offset, data in pieces]
        content = b''.join(data for _offset, data in pieces)
        rbd_pool.work(
            lab, _image(volume_id), 'write', *places, content=content
        )
        return
    with path.open('r+b') as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)


def digest(
    lab: lab_module.Lab,
    volume_id: str,
    begin: int = 0,
    end: int | None = None,
) -> str:
    """Return what is the same for volumes of the same bytes only.

    Whatever their back ends are.

    :param begin: see sparse.digest
    :param end: without it, the begin is 0
    """
    path = _file(lab, volume_id)
    if path is not None:
        return sparse.digest(path, begin, end)
    part = () if end is None else (begin, end)
    return rbd_pool.digest(lab, _image(volume_id), *part)


def written_at(lab: lab_module.Lab, volume_id: str) -> int | None:
    """Return when a volume was last written to, whatever by, in nanoseconds.

    None: it is in Ceph, or gone.
    """
    path = _file(lab, volume_id)
    return None if path is None else path.stat().st_mtime_ns


def update(lab: lab_module.Lab, volume_id: str, path: pathlib.Path) -> int:
    """Let a volume in Ceph hold what a file does.

    Return how many bytes had to be written.
    """
    return int(rbd_pool.work(lab, _image(volume_id), 'update', str(path)))


def _file(lab: lab_module.Lab, volume_id: str) -> pathlib.Path | None:
    for name in configuration.TYPES:
        path = lab.volumes / name / f'volume-{volume_id}'
        if path.exists():
            return path
    return None


def _image(volume_id: str) -> str:
    """Return what Cinder calls a volume in Ceph."""
    return f'volume-{volume_id}'


def attached(lab: lab_module.Lab) -> list[pathlib.Path]:
    """Return the files of volumes and snapshots that are loop devices."""
    if not system.is_root():
        return []
    return [file for _device, file in _loop_devices(lab.volumes)]


def _worth_an_image(lab: lab_module.Lab) -> bool:
    if any(lab.volumes.iterdir()) or shares_blocks(lab.volumes):
        return False
    if not system.is_root():
        return False
    if system.find('mkfs.xfs') is None:
        console.say('  without package xfsprogs, snapshots are whole copies')
        return False
    return True


def _mount_image(lab: lab_module.Lab) -> None:
    image = lab.volume_image
    made = not image.exists()
    if made:
        new = image.with_suffix('.new')
        new.unlink(missing_ok=True)
        for command in (
            ['truncate', '--size', _IMAGE_SIZE, str(new)],
            ['mkfs.xfs', '-q', '-m', 'reflink=1', str(new)],
        ):
            subprocess.run(command, check=True)
        new.rename(image)
    done = subprocess.run(
        ['mount', '-o', 'loop,discard', str(image), str(lab.volumes)],
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode and made:
        # In a container, for instance. The lab works without.
        image.unlink()
        console.say(f'(not possible: {done.stderr.strip()})')
    elif done.returncode:
        # The lab's volumes are in it.
        raise console.Problem(
            f'{image} can not be mounted: {done.stderr.strip()}'
        )


def shares_blocks(directory: pathlib.Path) -> bool:
    with (
        tempfile.TemporaryFile(dir=directory) as source,
        tempfile.TemporaryFile(dir=directory) as target,
    ):
        source.write(bytes(4096))
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
    return True


def _loop_devices(directory: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
    """Return the loop devices whose files are below the directory."""
    listed = subprocess.run(
        ['losetup', '--json', '--list', '--output', 'NAME,BACK-FILE'],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    devices = json.loads(listed)['loopdevices'] if listed.strip() else []
    files = [(one['name'], pathlib.Path(one['back-file'])) for one in devices]
    return [
        (name, file) for name, file in files if file.is_relative_to(directory)
    ]
