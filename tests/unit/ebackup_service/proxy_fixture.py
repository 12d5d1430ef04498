# SPDX-License-Identifier: Apache-2.0
"""A proxy's parts, with a server that answers and a real repository.

Nothing here ticks or takes jobs by itself: a test does every step.
"""

import math
import os
import subprocess
from typing import Any

import fixtures

from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.proxy import backup
from ebackup_service.proxy import maintenance
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import repository
from ebackup_service.repository.storage import registry
from ebackup_service.rpc import messages
from ebackup_service.rpc import topics
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server import endpoint
from ebackup_service.server import images
from ebackup_service.server import repositories
from tests import environment
from tests.unit.ebackup_service import catalog_fixture
from tests.unit.ebackup_service import messages_fixture


class Mount(fixtures.Fixture):
    """A file system in memory; only root can have one."""

    def __init__(self, place: str, size: int) -> None:
        super().__init__()
        self._place = place
        self._size = size
        environment.need_mounts()

    def _setUp(self) -> None:
        command = ['mount', '-t', 'tmpfs', '-o', f'size={self._size}', 'tmpfs']
        subprocess.run([*command, self._place], check=True)
        self._mounted = True
        self.addCleanup(self.unmount)

    def remount(self, option: str) -> None:
        subprocess.run(
            ['mount', '-o', f'remount,{option}', self._place], check=True
        )

    def unmount(self) -> None:
        if self._mounted:
            subprocess.run(['umount', '-l', self._place], check=True)
            self._mounted = False


class Proxy(catalog_fixture.Catalog):
    def _setUp(self) -> None:
        self.volumes = self.useFixture(fixtures.TempDir()).path
        self._options.setdefault('proxy', {}).setdefault(
            'attached_roots', self.volumes
        )
        # The server may be slow to answer.
        self.useFixture(
            fixtures.MockPatchObject(
                topics, 'RENEW_TIMEOUT', catalog_fixture.PATIENCE
            )
        )
        super()._setUp()
        self.bus = self.useFixture(messages_fixture.Bus(self.conf))
        self.bus.listen(
            topics.SERVER,
            'server',
            endpoint.ServerEndpoint(self.conf, self.catalog, lambda: None),
        )
        self.server = self.bus.server_client()
        self.url = f'file://{self.directory}/repository'

    def spec(self, job_id: str) -> messages.JobSpec:
        """A job that was handed out, and not begun."""
        self.announce()
        return self.assign()[job_id]

    def task(self, spec: messages.JobSpec) -> proxy_task.Task:
        """A job that has begun, and whose lease does not matter."""
        grant = self.server.renew(spec.id, spec.token, {})
        assert grant.granted, grant
        limiter = throttle.Limiter(self.conf.proxy.max_bytes_per_second)
        task = proxy_task.Task(
            self.conf, spec, self.server, limiter, places.Places(1).share()
        )
        task.control.extend(math.inf)
        return task

    def create_repository(self, name: str = 'default') -> None:
        lease = self.conf.server.lease
        # A test may want short leases; what prepares it must not lose its own.
        self.conf.set_override('lease', 60.0, 'server')
        _, job = repositories.create(self.catalog, name, self.url)
        spec = self.spec(job.id)
        result = maintenance.create(self.task(spec))
        self.finish(spec, result=result)
        self.conf.set_override('lease', lease, 'server')

    def mount(self, size: int) -> 'Mount':
        """Give the repository, still to be made, a place of that size."""
        place = f'{self.directory}/repository'
        os.mkdir(place)
        return self.useFixture(Mount(place, size))

    def open_repository(self) -> repository.Repository:
        storage = registry.open_storage(self.url)
        self.addCleanup(storage.close)
        return repository.Repository.open(storage)

    def objects(self) -> set[str]:
        """Names of what images are made of: without tombstones and owner."""
        root = f'{self.directory}/repository'
        found = {
            os.path.relpath(os.path.join(directory, name), root)
            for directory, _, names in os.walk(root)
            for name in names
        }
        return {
            name
            for name in found - {'repository.json', 'owner.json'}
            if not name.startswith('tombstones/')
        }

    def flip(self, chunk: int) -> None:
        """Change one chunk of the only data pack; twice is not at all.

        One worker stores random chunks in their order, and as they are.
        """
        [name] = [
            n for n in self.objects() if n.startswith('packs/') and '/d-' in n
        ]
        path = f'{self.directory}/repository/{name}'
        os.chmod(path, 0o600)
        with open(path, 'r+b') as pack:
            pack.seek(128 + chunk * (64 + catalog_fixture.CHUNK) + 1000)
            byte = pack.read(1)[0]
            pack.seek(-1, os.SEEK_CUR)
            pack.write(bytes([byte ^ 1]))

    def write_volume(self, content: bytes, name: str = 'volume') -> str:
        path = os.path.join(self.volumes, name)
        with open(path, 'wb') as file:
            file.write(content)
        return path

    def backup_task(
        self, path: str, changes: dict[str, Any] | None = None, **values: Any
    ) -> proxy_task.Task:
        """:param changes: what the driver says that has changed"""
        _, job = self.reserve(size=os.path.getsize(path), **values)
        assert job is not None
        more = {} if changes is None else {'changes': changes}
        self.attach(job.id, path, **more)
        return self.task(self.spec(job.id))

    def backup(self, path: str, **values: Any) -> image_rows.Image:
        task = self.backup_task(path, **values)
        self.finish(task.spec, result=backup.run(task))
        return images.show(self.catalog, task.image.id)

    def restore_task(
        self, image: image_rows.Image, path: str, **values: Any
    ) -> proxy_task.Task:
        job = self.restore(image, **values)
        self.attach(job.id, path)
        return self.task(self.spec(job.id))
