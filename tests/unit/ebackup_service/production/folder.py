# SPDX-License-Identifier: Apache-2.0
"""A production storage in a directory, with snapshots that are copies.

It does what the contract says, and by the simplest means: so it shows what
server and proxy make of that, and what they do when something is gone.
"""

from collections.abc import Iterator
import contextlib
import json
import os
import shutil
import uuid

import fixtures

from ebackup_service.production import base
from ebackup_service.production import descriptor as io
from ebackup_service.production import errors
from ebackup_service.production import registry

PAGE = 4096

DATA = base.ExtentKind.DATA


class FolderStorage:
    """Files, each with a directory NAME.d of its snapshots.

    :param directory: where they are
    """

    SETTINGS = {
        'type': 'object',
        'properties': {
            'directory': {'type': 'string'},
            'label': {'type': 'string'},  # for people
            'server': {'type': 'string'},
        },
        'required': ['directory'],
        'additionalProperties': False,
    }
    PLACE = frozenset(('directory',))
    REACHED_BY = frozenset(('server',))
    MEMORY = 0
    CREDENTIALS = {
        'type': 'object',
        'properties': {'key': {'type': 'string'}},
        'additionalProperties': False,
    }
    capabilities = base.Capabilities(
        allocated_extents=True,
        changed_extents=True,
        snapshots=True,
        anchors=True,
        light_anchors=True,
        cinder_snapshots=True,
    )

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @classmethod
    def check_installed(cls) -> None:
        pass

    @classmethod
    def from_conf(cls, conf, settings, credentials, check=base.no_check):
        return cls(settings['directory'])

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def make(self, name: str, size: int) -> str:
        """A volume of zeros, in the place of one of that name."""
        self.remove(name)
        path = self.path(name)
        with open(path, 'wb') as volume:
            volume.truncate(size)
        os.mkdir(f'{path}.d')
        with open(f'{path}.d/key', 'w') as key:
            key.write(str(uuid.uuid4()))
        return path

    def remove(self, name: str) -> None:
        path = self.path(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            shutil.rmtree(f'{path}.d')

    def find(self, reference: base.Reference) -> 'FolderLun':
        path = self.path(reference.name or '-')
        if not os.path.exists(path):
            raise errors.VolumeUnknown(f'there is no volume {reference.name}')
        return FolderLun(path, reference.snapshot)

    def find_kept(
        self, reference: base.Reference, key: str
    ) -> 'FolderLun | None':
        for entry in os.listdir(self.directory):
            if entry.endswith('.d'):
                lun = FolderLun(self.path(entry[:-2]), None)
                if lun.key == key:
                    return lun
        return None

    def close(self) -> None:
        pass


class FolderLun:
    def __init__(
        self, path: str, snapshot: base.CinderSnapshot | None
    ) -> None:
        self._path = path
        with open(f'{path}.d/key') as key:
            self.key = key.read()
        self.given = None
        if snapshot is not None:
            self.given = self.find_snapshot(snapshot.name)
            if self.given is None:
                raise errors.SnapshotUnknown(f'no snapshot {snapshot.name}')

    def snapshots(self) -> dict[str, str]:
        """Id -> name."""
        found = {}
        for entry in os.listdir(f'{self._path}.d'):
            if entry.endswith('.json'):
                with open(f'{self._path}.d/{entry}') as about:
                    found[entry[:-5]] = json.load(about)
        return found

    def take_snapshot(self, name: str) -> base.Snapshot:
        known = self.snapshots()
        if name in known.values():
            raise errors.SnapshotExists(f'there is a snapshot {name}')
        counter = f'{self._path}.d/counter'
        with open(counter, 'a+') as count:
            count.write('x')
        number = f'{os.path.getsize(counter):06}'
        shutil.copyfile(self._path, f'{self._path}.d/{number}.data')
        with open(f'{self._path}.d/{number}.json', 'w') as about:
            json.dump(name, about)
        return base.Snapshot(number, name)

    def find_snapshot(self, name: str) -> base.Snapshot | None:
        for number, known in self.snapshots().items():
            if known == name:
                return base.Snapshot(number, name)
        return None

    def reduce_to_anchor(self, snapshot: base.Snapshot) -> None:
        self._check(snapshot)

    def drop_snapshot(self, snapshot: base.Snapshot) -> None:
        if snapshot.id in self.snapshots():
            os.unlink(f'{self._path}.d/{snapshot.id}.json')
            os.unlink(f'{self._path}.d/{snapshot.id}.data')

    def open_source(self, size, snapshot=None, since=None) -> base.Source:
        path = self._path
        if snapshot is not None:
            self._check(snapshot)
            path = f'{self._path}.d/{snapshot.id}.data'
        old = None
        if since is not None:
            if since.id not in self.snapshots() or (
                snapshot is not None and snapshot.id < since.id
            ):
                raise errors.DifferenceUnavailable(
                    f'snapshot {since.name} is gone, or a later one'
                )
            old = f'{self._path}.d/{since.id}.data'
        _check_size(path, size)
        return FolderSource(path, old, size)

    def open_target(self, size: int, volume_is_new: bool) -> base.Target:
        _check_size(self._path, size)
        return io.DescriptorTarget(
            os.open(self._path, os.O_RDWR),
            -1,
            self._path,
            size,
            truncated=False,
            alignment=1,
        )

    def close(self) -> None:
        pass

    def _check(self, snapshot: base.Snapshot) -> None:
        if snapshot.id not in self.snapshots():
            raise errors.SnapshotUnknown(f'no snapshot {snapshot.name}')


class FolderSource(io.DescriptorSource):
    def __init__(self, path: str, old: str | None, size: int) -> None:
        super().__init__(
            os.open(path, os.O_RDONLY), path, size, self._list_all
        )
        self._files = (path, old)
        if old is not None:
            self.gaps = base.ExtentKind.UNCHANGED

    def confirm(self) -> None:
        path, _ = self._files
        if not os.path.exists(path):
            raise errors.SnapshotUnknown(f'{path} was removed')

    def _list_all(self) -> Iterator[base.Extent]:
        path, old = self._files
        with contextlib.ExitStack() as stack:
            new = stack.enter_context(open(path, 'rb'))
            before = old and stack.enter_context(open(old, 'rb'))
            for offset in range(0, self.size, PAGE):
                piece = new.read(PAGE)
                if old is not None and not os.path.exists(old):
                    raise errors.DifferenceUnavailable(
                        'what was compared with is gone'
                    )
                known = before.read(PAGE) if before else bytes(len(piece))
                if piece != known:
                    yield base.Extent(offset, len(piece), DATA)


def _check_size(path: str, size: int) -> None:
    found = os.path.getsize(path)
    if found != size:
        raise errors.SizeMismatch(f'{path} has {found} bytes, not {size}')


KIND = 'folder'
BACKEND = 'node@folder'
HOST = f'{BACKEND}#pool'


class FolderKind(fixtures.Fixture):
    """It is installed beside what really is.

    :param storage_class: of which its storages are
    """

    def __init__(self, storage_class=FolderStorage) -> None:
        super().__init__()
        self._class = storage_class

    def _setUp(self) -> None:
        known = registry.storage_class

        def storage_class(kind):
            return self._class if kind == KIND else known(kind)

        self.useFixture(
            fixtures.MonkeyPatch(
                'ebackup_service.production.registry.storage_class',
                storage_class,
            )
        )


def volume(name: str) -> dict[str, str]:
    """What the driver says of a volume, but for its id and size."""
    return {'host': HOST, 'backend_name': name}
