# SPDX-License-Identifier: Apache-2.0
"""What tests of the storage rbd have in common."""

import collections
from typing import Any
import uuid

from ebackup_service.production import base as production
from ebackup_service.production import rbd
from tests import base
from tests import ceph
from tests.unit.ebackup_service.production import conformance

MIB = 1 << 20
GIB = 1 << 30
OBJECT = 4 * MIB
# layering, exclusive-lock, object-map, fast-diff, deep-flatten
FEATURES = 61
LAYERING = 1


class RbdTestCase(base.BaseTestCase):
    """Makes images, as the administrator, and removes them after the test."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.ceph = ceph.running()
        import rbd as library

        cls.library = library

    def setUp(self) -> None:
        super().setUp()
        self.ioctx = self.ceph.ioctx()
        self.addCleanup(self.ioctx.close)
        self.name = f'volume-{uuid.uuid4()}'

    # As Cinder, or anybody else

    def create(
        self,
        size: int,
        name: str | None = None,
        ioctx: Any = None,
        features: int = FEATURES,
        **options: Any,
    ) -> None:
        name, ioctx = name or self.name, ioctx or self.ioctx
        options = {'order': 22, **options}
        self.library.RBD().create(
            ioctx, name, size, old_format=False, features=features, **options
        )
        self.addCleanup(self.remove, name, ioctx)

    def clone(self, parent: str, snapshot: str, ioctx: Any = None) -> None:
        """Make the volume a clone of a protected snapshot."""
        self.library.RBD().clone(
            *(ioctx or self.ioctx, parent, snapshot, self.ioctx, self.name),
            features=FEATURES,
        )
        self.addCleanup(self.remove)

    def remove(self, name: str | None = None, ioctx: Any = None) -> None:
        name, ioctx = name or self.name, ioctx or self.ioctx
        try:
            with self.library.Image(ioctx, name) as image:
                for snapshot in list(image.list_snaps()):
                    if image.is_protected_snap(snapshot['name']):
                        image.unprotect_snap(snapshot['name'])
                    image.remove_snap(snapshot['name'])
            self.library.RBD().remove(ioctx, name)
        except self.library.ImageNotFound:
            pass

    def image(self, name: str | None = None, **options: Any) -> Any:
        """To be closed by who asks for it: a context manager."""
        return self.library.Image(self.ioctx, name or self.name, **options)

    def fill(self, content: bytes) -> None:
        with self.image() as image:
            image.write(bytes(content), 0)

    def content(self) -> bytes:
        with self.image(read_only=True) as image:
            return image.read(0, image.size())

    def snapshots(self) -> list[str]:
        with self.image(read_only=True) as image:
            return [snapshot['name'] for snapshot in image.list_snaps()]

    # As the service

    def storage(
        self, user: str = 'ebackup', check: Any = None, **settings: Any
    ) -> rbd.RbdStorage:
        storage = rbd.RbdStorage.from_conf(
            None,
            self.ceph.settings(user, **settings),
            self.ceph.credentials(user),
            check or production.no_check,
        )
        self.addCleanup(storage.close)
        return storage

    def reference(self, snapshot: str | None = None) -> production.Reference:
        wanted = None
        if snapshot is not None:
            wanted = production.CinderSnapshot(str(uuid.uuid4()), snapshot)
        return production.Reference(
            'a volume', name=self.name, snapshot=wanted
        )

    def lun(self, **settings: Any) -> production.Lun:
        return self.storage(**settings).find(self.reference())

    def source(self, lun: Any, size: int, *snapshots: Any) -> Any:
        source = lun.open_source(size, *snapshots)
        self.addCleanup(source.close)
        return source

    def target(self, lun: Any, size: int, is_new: bool = False) -> Any:
        target = lun.open_target(size, is_new)
        self.addCleanup(target.close)
        return target


def read(volume: Any, offset: int, length: int) -> bytes:
    return conformance.read(volume, offset, memoryview(bytearray(length)))


def named(source: Any) -> dict[production.ExtentKind, int]:
    """How many bytes are named, by kind."""
    counts: dict[production.ExtentKind, int] = collections.Counter()
    for extent in source.extents():
        counts[extent.kind] += extent.length
    return counts
