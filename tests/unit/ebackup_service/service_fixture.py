# SPDX-License-Identifier: Apache-2.0
"""A server and proxies of a test's own, in this process."""

import os
from typing import Any

import fixtures
import oslo_messaging

from ebackup_service.proxy import service as proxy_service
from ebackup_service.rpc import local
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server import images
from ebackup_service.server import repositories
from ebackup_service.server import service as server_service
from tests.unit.ebackup_service import catalog_fixture

wait_for = catalog_fixture.wait_for
new_id = catalog_fixture.new_id
CHUNK = catalog_fixture.CHUNK


class Service(catalog_fixture.Catalog):
    """A server and a proxy over ``ebackup-local://``, with a repository."""

    def __init__(
        self,
        options: dict[str, dict[str, Any]] | None = None,
        proxy: bool = True,
        server: bool = True,
    ) -> None:
        super().__init__(options)
        self._with_proxy = proxy
        self._with_server = server
        self.server: server_service.ServerService | None = None
        self.proxy: proxy_service.ProxyService | None = None

    def _setUp(self) -> None:
        self.volumes = self.useFixture(fixtures.TempDir()).path
        self._options.setdefault('proxy', {}).setdefault(
            'attached_roots', self.volumes
        )
        # Its proxies announce themselves.
        self._options.setdefault('server', {}).setdefault('proxy_timeout', 2.0)
        super()._setUp()
        self.repository_path = os.path.join(self.directory, 'repository')
        self.transport = oslo_messaging.get_rpc_transport(
            self.conf, url=local.URL
        )
        self.addCleanup(self.transport.cleanup)
        if self._with_server:
            self.start_server()
        if self._with_proxy:
            self.start_proxy()

    def start_server(self) -> server_service.ServerService:
        self.server = server_service.ServerService(
            self.conf, self.transport, self.catalog
        )
        self.server.start()
        self.addCleanup(self.server.stop)
        return self.server

    def start_proxy(
        self, options: dict[str, dict[str, Any]] | None = None
    ) -> proxy_service.ProxyService:
        self.proxy = proxy_service.ProxyService(
            self.make_conf(options), self.transport
        )
        self.proxy.start()
        self.addCleanup(self.proxy.stop)
        return self.proxy

    def create_repository(self, name: str = 'default') -> None:
        lease = self.conf.server.lease
        # A test may want short leases; what prepares it must not lose its own.
        self.conf.set_override('lease', catalog_fixture.PATIENCE, 'server')
        _, job = repositories.create(
            self.catalog, name, f'file://{self.repository_path}'
        )
        self.wait_for_job(job.id, job_rows.SUCCEEDED)
        self.conf.set_override('lease', lease, 'server')

    def write_volume(self, content: bytes, name: str | None = None) -> str:
        """A volume that is a file; gives its path."""
        path = os.path.join(self.volumes, name or new_id())
        with open(path, 'wb') as file:
            file.write(content)
        return path

    def begin_backup(
        self, path: str, volume_id: str | None = None, **values: Any
    ) -> tuple[image_rows.Image, job_rows.Job]:
        size = os.path.getsize(path)
        image, job = self.reserve(size=size, volume_id=volume_id, **values)
        assert job is not None
        self.attach(job.id, path)
        return image, job

    def backup(
        self, path: str, volume_id: str | None = None, **values: Any
    ) -> image_rows.Image:
        """Back a volume up, as a driver does it; the available image."""
        image, job = self.begin_backup(path, volume_id, **values)
        self.wait_for_job(job.id, job_rows.SUCCEEDED)
        return images.show(self.catalog, image.id)

    def restore_to(
        self, image: image_rows.Image, path: str, **values: Any
    ) -> job_rows.Job:
        with open(path, 'wb'):
            pass  # Cinder opens a plain file like this before the driver
        job = self.restore(image, **values)
        self.attach(job.id, path)
        return self.wait_for_job(job.id, job_rows.SUCCEEDED)
