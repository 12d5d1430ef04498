# SPDX-License-Identifier: Apache-2.0
"""A catalog of a test's own, and the driver's part played on it."""

from collections.abc import Callable
import contextlib
import functools
import os
import tempfile
import time
from typing import Any
import uuid

import fixtures
import sqlalchemy as sa

from ebackup_service import conf as service_conf
from ebackup_service.rpc import messages
from ebackup_service.rpc import topics
from ebackup_service.server.catalog import database
from ebackup_service.server.catalog import image as image_rows
from ebackup_service.server.catalog import job as job_rows
from ebackup_service.server.catalog import migration
from ebackup_service.server.catalog import models
from ebackup_service.server.catalog import proxy as proxy_rows
from ebackup_service.server.catalog import repository as repository_rows
from ebackup_service.server.catalog import service as service_rows
from ebackup_service.server import dispatch
from ebackup_service.server import images
from ebackup_service.server import jobs
from ebackup_service.server import leases
from ebackup_service.server import outcomes
from ebackup_service.server import restores

PROJECT = 'a' * 32
# Smaller than it is by default: what tests write may be small, too.
CHUNK = 64 * 1024

# Seconds. The machine may have other things to do: what is waited for may take
# so long, and so long has a proxy to be there that is announced once, by hand,
# and a driver that beats no more than once.
PATIENCE = 60.0

# Quick, so that tests need not wait.
OPTIONS: dict[str, dict[str, Any]] = {
    'server': {
        'tick': 0.05,
        'proxy_timeout': PATIENCE,
        'heartbeat_timeout': PATIENCE,
    },
    'proxy': {
        'host': 'here',
        'workers': 1,
        'announce_interval': 0.2,
        'shutdown_timeout': 5.0,
    },
    'repository': {'minimum_free': 0, 'chunk_size': CHUNK},
}


def new_id() -> str:
    return str(uuid.uuid4())


def wait_for(
    condition: Callable[[], Any], what: str, seconds: float = PATIENCE
) -> Any:
    """Wait until a condition gives something true, and return that.

    It is looked at less and less often: looking takes time from what it waits
    for.
    """
    end = time.monotonic() + seconds
    pause = 0.005
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f'{what}: not within {seconds} s')
        time.sleep(pause)
        pause = min(1.5 * pause, 0.1)


@functools.cache
def _tables() -> bytes:
    """An sqlite file with the tables of this version, and no rows."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'catalog')
        engine = sa.create_engine(f'sqlite:///{path}')
        migration.upgrade(engine)
        engine.dispose()
        with open(path, 'rb') as file:
            return file.read()


def upgraded(conf: Any) -> database.Catalog:
    """A catalog, an empty one if it is new; to be closed.

    On sqlite that begins with tables that were made once for the whole
    process: to make them takes longer than most tests.
    """
    url = sa.engine.make_url(conf.database.connection)
    new = False
    if url.get_backend_name() == 'sqlite':
        assert url.database is not None
        with contextlib.suppress(FileExistsError):
            with open(url.database, 'xb') as file:
                file.write(_tables())
                new = True
    catalog = database.Catalog(conf)
    if new:
        # All that is missing; to look for migrations takes its time, too.
        with catalog.writer() as session:
            service_rows.create(session)
    else:
        catalog.upgrade()
    return catalog


class Catalog(fixtures.Fixture):
    """Options read from a file, and an upgraded catalog on sqlite.

    ``options``: {'group': {'name': value}}, over those above.
    """

    def __init__(
        self,
        options: dict[str, dict[str, Any]] | None = None,
        connection: str | None = None,
    ) -> None:
        super().__init__()
        self._options = options or {}
        self._connection = connection

    def _setUp(self) -> None:
        self.directory = self.useFixture(fixtures.TempDir()).path
        self.conf = self.make_conf()
        self.catalog = upgraded(self.conf)
        self.addCleanup(self.catalog.close)

    def make_conf(
        self, options: dict[str, dict[str, Any]] | None = None
    ) -> Any:
        groups: dict[str, dict[str, Any]] = {
            'DEFAULT': {
                'state_path': self.directory,
                # the in-memory transport is one for the whole process
                'control_exchange': self.directory,
            },
            'database': {'sqlite_synchronous': False},
        }
        if self._connection is not None:
            groups['database']['connection'] = self._connection
        for source in (OPTIONS, self._options, options or {}):
            for group, values in source.items():
                groups.setdefault(group, {}).update(values)
        path = os.path.join(self.directory, f'{new_id()}.conf')
        with open(path, 'w') as file:
            for group, values in groups.items():
                print(f'[{group}]', file=file)
                for name, value in values.items():
                    print(f'{name} = {value}', file=file)
        return service_conf.new([path])

    def make_repository(
        self, name: str = 'default', state: str = repository_rows.AVAILABLE
    ) -> str:
        """A repository that is there by the catalog alone."""
        repository_id = new_id()
        with self.catalog.writer() as session:
            repository_rows.insert(
                session,
                id=repository_id,
                name=name,
                url=f'file://{self.directory}/{name}',
                state=state,
            )
        return repository_id

    def request(self, size: int, **values: Any) -> dict[str, Any]:
        """The body of an image's PUT."""
        volume = {'id': values.pop('volume_id', None) or new_id()}
        volume.update(size=size, **values.pop('volume', {}))
        return {'project_id': PROJECT, 'volume': volume, **values}

    def reserve(
        self, image_id: str | None = None, size: int = CHUNK, **values: Any
    ) -> tuple[image_rows.Image, job_rows.Job | None]:
        return images.reserve(
            self.catalog,
            self.conf,
            image_id or new_id(),
            self.request(size, **values),
        )

    def restore(
        self,
        image: image_rows.Image,
        volume_id: str | None = None,
        **values: Any,
    ) -> job_rows.Job:
        volume = {'id': volume_id or new_id(), 'size': image.size}
        volume.update(values.pop('volume', {}))
        request = {
            'image_id': image.id,
            'project_id': PROJECT,
            'volume': volume,
            'volume_is_new': True,
        }
        return restores.reserve(
            self.catalog, self.conf, new_id(), {**request, **values}
        )

    def announce(self, host: str = 'here', **capabilities: Any) -> None:
        """Let a proxy be alive, as far as the catalog knows."""
        known = {
            'max_jobs': 16,
            'production': ['attached'],
            'messages': topics.VERSION,
        }
        with self.catalog.writer() as session:
            proxy_rows.announce(session, host, '1', {**known, **capabilities})

    def attach(
        self, job_id: str, path: str = '/v', host: str = 'here', **more: Any
    ) -> None:
        jobs.attach(
            self.catalog,
            job_id,
            {'kind': 'attached', 'host': host, 'path': path, **more},
        )

    def assign(self) -> dict[str, messages.JobSpec]:
        """What a tick hands out, by job id."""
        handed = dispatch.assign(self.catalog, self.conf)
        return {spec.id: spec for _, spec in handed}

    def run(self, job_id: str) -> messages.JobSpec:
        """Hand a job out to an announced proxy, which takes it up."""
        self.announce()
        if self.job(job_id).needs:
            self.attach(job_id)
        spec = self.assign()[job_id]
        self.renew(spec)
        return spec

    def renew(self, spec: messages.JobSpec) -> None:
        """Begin a job that was handed out, or go on with it."""
        grant = leases.renew(self.catalog, self.conf, spec.id, spec.token, {})
        assert grant.granted, grant

    def finish(
        self, spec: messages.JobSpec, state: str = 'succeeded', **values: Any
    ) -> messages.Decision:
        """Report the end of a job as its proxy does."""
        outcome = messages.Outcome(state, **values)
        return outcomes.finish(
            self.catalog, self.conf, spec.id, spec.token, outcome
        )

    def make_image(self, **values: Any) -> image_rows.Image:
        """An available image of nothing but zeros."""
        image, job = self.reserve(**values)
        assert job is not None
        spec = self.run(job.id)
        self.commit(spec)
        self.finish(spec, result={'kind': 'full', 'bytes_read': image.size})
        return images.show(self.catalog, image.id)

    def commit(
        self, spec: messages.JobSpec, tree: dict[str, Any] | None = None
    ) -> messages.Decision:
        assert spec.image is not None
        commit = messages.Commit(
            tree, spec.image.size, spec.image.chunk_size, {}
        )
        return outcomes.commit_image(self.catalog, spec.id, spec.token, commit)

    def age(self, job_id: str, seconds: float) -> None:
        """Let a job's every instant be that much longer ago."""
        columns = ('lease_until', 'beat_at', 'ready_at', 'created_at')
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Job)
                .where(models.Job.id == job_id)
                .values(
                    {
                        column: getattr(models.Job, column)
                        - round(seconds * 1000)
                        for column in columns
                    }
                )
            )

    def age_proxy(self, host: str, seconds: float) -> None:
        with self.catalog.writer() as session:
            session.execute(
                sa.update(models.Proxy)
                .where(models.Proxy.host == host)
                .values(
                    announced_at=models.Proxy.announced_at
                    - round(seconds * 1000)
                )
            )

    def job(self, job_id: str) -> job_rows.Job:
        return jobs.show(self.catalog, job_id)

    def image(self, image_id: str) -> image_rows.Image | None:
        with self.catalog.reader() as session:
            return image_rows.get(session, image_id)

    def wait_for_job(
        self, job_id: str, state: str | None = None, beat: bool = True
    ) -> job_rows.Job:
        """Wait like a driver does: beating, until the job has ended."""

        def ended() -> job_rows.Job | None:
            look = jobs.beat if beat else jobs.show
            job = look(self.catalog, job_id)
            return job if job.finished else None

        job: job_rows.Job = wait_for(ended, f'job {job_id}')
        if state is not None and job.state != state:
            raise AssertionError(f'job is {job.state}: {job.error}')
        return job
