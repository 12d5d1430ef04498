# SPDX-License-Identifier: Apache-2.0
"""The contract can be kept: by the simplest storage that does."""

import fixtures

from ebackup_service.production import base as production
from tests import base
from tests.unit.ebackup_service.production import conformance
from tests.unit.ebackup_service.production import conformance_snapshots
from tests.unit.ebackup_service.production import folder


class FolderConformanceTest(
    conformance_snapshots.ChangedTests,
    conformance_snapshots.SnapshotTests,
    conformance.ConformanceTests,
    base.BaseTestCase,
):
    def make_volume(self):
        directory = self.useFixture(fixtures.TempDir()).path
        self.storage = folder.FolderStorage(directory)
        self.path = self.storage.make('volume', self.SIZE)
        return self.storage

    recreate = make_volume

    def reference(self):
        return production.Reference(conformance.VOLUME_ID, name='volume')

    def places(self):
        return [self.path]

    def missing(self):
        return production.Reference(conformance.VOLUME_ID, name='other')

    def of_snapshot(self, name):
        lun = self.lun()
        if lun.find_snapshot(name) is None:
            lun.take_snapshot(name)
        return production.Reference(
            conformance.VOLUME_ID,
            name='volume',
            snapshot=production.CinderSnapshot(conformance.VOLUME_ID, name),
        )

    def fill(self, content):
        with open(self.path, 'r+b') as volume:
            volume.write(content)

    def content(self):
        with open(self.path, 'rb') as volume:
            return volume.read()
