# SPDX-License-Identifier: Apache-2.0
"""One job at its proxy, as the functions that do the work see it."""

from collections.abc import Iterator
import contextlib
from typing import Any, Protocol

from oslo_config import cfg

from ebackup_service.engine import control as job_control
from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.production import base as production
from ebackup_service.production import registry
from ebackup_service.proxy import errors
from ebackup_service.proxy import memory
from ebackup_service.rpc import clients
from ebackup_service.rpc import messages


class Progress(Protocol):
    def snapshot(self) -> dict[str, Any]:
        """What the job's progress shows; for any thread."""
        ...


class Task:
    """What a job is, who may stop it, and how far it is.

    The job's thread works, the lease keeper's extends or cancels ``control``
    and reads ``snapshot``; both only ever replace whole attributes.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        spec: messages.JobSpec,
        server: clients.ServerClient,
        limiter: throttle.Limiter,
        share: places.Share,
    ) -> None:
        self.conf = conf
        self.spec = spec
        self.server = server
        self.share = share
        # ended until the first renewal has been granted
        self.control = job_control.Control(0.0, limiter)
        self.progress: Progress | None = None

    def snapshot(self) -> dict[str, Any]:
        """The job's progress so far; empty when it has none to tell."""
        return {} if self.progress is None else self.progress.snapshot()

    @property
    def workers(self) -> int:
        return memory.workers(self.conf)

    @property
    def image(self) -> messages.ImageSpec:
        if self.spec.image is None:
            raise errors.JobInvalid(f'Job {self.spec.id} names no image.')
        return self.spec.image

    @contextlib.contextmanager
    def lun(self) -> Iterator[production.Lun]:
        """Where the volume lives that is read or written."""
        attachment = self.spec.attachment
        if attachment is None:
            raise errors.JobInvalid(f'Job {self.spec.id} has no attachment.')
        reference = production.Reference(
            volume_id=self._volume_id, attachment=attachment
        )
        kind = str(attachment.get('kind'))
        with (
            contextlib.closing(
                registry.open_storage(kind, self.conf)
            ) as storage,
            contextlib.closing(storage.find(reference)) as lun,
        ):
            yield lun

    @property
    def _volume_id(self) -> str:
        target = self.spec.target
        return self.image.volume_id if target is None else target.volume_id
