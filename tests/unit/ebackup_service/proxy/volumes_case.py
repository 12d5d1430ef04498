# SPDX-License-Identifier: Apache-2.0
"""A volume on a storage with snapshots, and proxies that back it up."""

import os
import random

import fixtures

from ebackup_service.production import base as production
from ebackup_service.proxy import backup
from ebackup_service.proxy import release
from ebackup_service.proxy import restore
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server import images
from ebackup_service.server import snapshots
from ebackup_service.server import storages
from tests import base
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service import proxy_fixture

CHUNK = catalog_fixture.CHUNK
SIZE = 40 * CHUNK


class Stopped(Exception):
    """The proxy ends here."""


class VolumesTestCase(base.BaseTestCase):
    storage_class = folder.FolderStorage
    values: dict = {}

    def setUp(self):
        super().setUp()
        self.useFixture(folder.FolderKind(self.storage_class))
        self.fixture = self.useFixture(proxy_fixture.Proxy())
        self.catalog, self.conf = self.fixture.catalog, self.fixture.conf
        self.fixture.create_repository()
        directory = self.useFixture(fixtures.TempDir()).path
        self.storage = self.storage_class(directory)
        self.path = self.storage.make('volume', SIZE)
        storages.create(
            self.catalog,
            self.conf,
            'one',
            folder.KIND,
            backends=[folder.BACKEND],
            settings={'directory': directory},
            **self.values,
        )
        self.volume_id = catalog_fixture.new_id()
        self.random = random.Random(1)
        self.write(0, self.random.randbytes(20 * CHUNK))

    def write(self, offset, content):
        with open(self.path, 'r+b') as volume:
            volume.seek(offset)
            volume.write(content)

    def change(self, chunk):
        self.write(chunk * CHUNK + 5, self.random.randbytes(100))

    def content(self):
        with open(self.path, 'rb') as volume:
            return volume.read()

    def lun(self):
        return self.storage.find(
            production.Reference(self.volume_id, name='volume')
        )

    def on_storage(self):
        """Names of the snapshots that there are."""
        return sorted(self.lun().snapshots().values())

    def known(self, **values):
        """Names of the snapshots that the catalog has."""
        with self.catalog.reader() as session:
            rows = snapshot_rows.find(session, **values)
        return sorted(row.name for row in rows)

    def task(self, **volume):
        _, job = self.fixture.reserve(
            size=os.path.getsize(self.path),
            volume_id=self.volume_id,
            volume={**folder.volume('volume'), **volume},
        )
        return self.again(job.id)

    def again(self, job_id):
        self.announce()
        return self.fixture.task(self.fixture.assign()[job_id])

    def announce(self):
        self.fixture.announce(production=['attached', folder.KIND])

    def back_up(self, **volume):
        """Of a backup that succeeds, the image and the job's result."""
        task = self.task(**volume)
        result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        return images.show(self.catalog, task.image.id), result

    def restored(self, image):
        """What an image holds."""
        path = self.storage.make('target', image.size)
        job = self.fixture.restore(image, volume=folder.volume('target'))
        task = self.again(job.id)
        result = restore.run(task)
        self.fixture.finish(task.spec, result=result)
        with open(path, 'rb') as volume:
            return volume.read()

    def put_back(self, image, **volume):
        """Restore to the volume itself; the job's result."""
        job = self.fixture.restore(
            image,
            self.volume_id,
            volume={
                **folder.volume('volume'),
                'size': os.path.getsize(self.path),
                **volume,
            },
            volume_is_new=False,
        )
        task = self.again(job.id)
        result = restore.run(task)
        self.fixture.finish(task.spec, result=result)
        return result

    def release(self):
        """Let a proxy remove what is condemned."""
        self.announce()
        snapshots.schedule(self.catalog, self.conf)
        for spec in self.fixture.assign().values():
            if spec.kind == 'release':
                task = self.fixture.task(spec)
                self.fixture.finish(spec, result=release.run(task))

    def tidy(self):
        """All that there is on the storage is the anchor, and known."""
        self.release()
        anchors = self.known(state='anchor')
        self.assertEqual(anchors, self.known())
        self.assertEqual(anchors, self.on_storage())
