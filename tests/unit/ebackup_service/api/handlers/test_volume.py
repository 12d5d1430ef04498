# SPDX-License-Identifier: Apache-2.0
import uuid

from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import snapshot as snapshot_rows
from ebackup_service.server import storages
from tests.unit.ebackup_service.api import base
from tests.unit.ebackup_service import storage_fixture


class VolumeTest(base.ApiTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(storage_fixture.PlayedKind())
        self.make_repository()
        self.storage = storages.create(
            *(self.catalog, self.conf, 'one', storage_fixture.KIND),
            **storage_fixture.values(backends=[]),
        )

    def anchor(self):
        """Of a new volume, whose id is returned."""
        image_id = self.make_image()
        with self.catalog.writer() as session:
            image = image_rows.get(session, image_id)
            snapshot_rows.insert(
                session,
                id=str(uuid.uuid4()),
                state=snapshot_rows.ANCHOR,
                storage_id=self.storage.id,
                repository_id=image.repository_id,
                chain_id=image.chain_id,
                image_id=image_id,
                job_id=str(uuid.uuid4()),
                volume={'id': image.volume_id},
                lun='lun',
                name=f'anchor of {image_id}',
                snapshot_id='1',
            )
        return image.volume_id

    def anchors(self):
        """Ids of the volumes that have one."""
        with self.catalog.reader() as session:
            rows = snapshot_rows.find(session, state=snapshot_rows.ANCHOR)
        return [row.volume['id'] for row in rows]

    def test_anchors_are_let_go_of_this_volume(self):
        emptied, other = self.anchor(), self.anchor()
        for _ in range(2):
            self.answer(204, 'DELETE', f'/v1/volumes/{emptied}/anchors')
            self.assertEqual([other], self.anchors())

    def test_restores_to_it_end(self):
        image_id = self.make_image()
        jobs = {}
        for volume_id in str(uuid.uuid4()), str(uuid.uuid4()):
            restore = {
                'image_id': image_id,
                'project_id': base.OWN,
                'volume': {'id': volume_id, 'size': base.GIB},
                'volume_is_new': True,
            }
            job_id = str(uuid.uuid4())
            self.answer(
                202, 'PUT', f'/v1/restores/{job_id}', {'restore': restore}
            )
            jobs[volume_id] = job_id
        emptied, other = jobs
        self.answer(204, 'DELETE', f'/v1/volumes/{emptied}/anchors')
        ended = self.answer(200, 'GET', f'/v1/jobs/{jobs[emptied]}')['job']
        self.assertEqual('cancelled', ended['state'])
        self.assertIn('emptied', ended['error']['message'])
        left = self.answer(200, 'GET', f'/v1/jobs/{jobs[other]}')['job']
        self.assertEqual('pending', left['state'])

    def test_volume_may_be_unknown(self):
        self.answer(204, 'DELETE', f'/v1/volumes/{uuid.uuid4()}/anchors')
