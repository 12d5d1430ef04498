# SPDX-License-Identifier: Apache-2.0
"""One job at its proxy, as the functions that do the work see it."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from typing import Any, Protocol

from oslo_config import cfg

from ebackup_service.engine import control as job_control
from ebackup_service.engine import places
from ebackup_service.engine import throttle
from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.production import registry
from ebackup_service.proxy import errors
from ebackup_service.proxy import handover
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
        # how the volume is reached, if Cinder exports it
        self.handover = handover.Handover()
        # ended until the first renewal has been granted
        self.control = job_control.Control(0.0, limiter)
        self.progress: Progress | None = None
        # what the result says of how it was done
        self.notes: dict[str, Any] = {}
        # why what the storage says of changes is not believed, in this run
        self.doubt: str | None = None
        # why not even what it says is allocated is, in this run
        self.reads_all: str | None = None
        # that is read, and was taken for this job
        self.taken: production.Snapshot | None = None

    def snapshot(self) -> dict[str, Any]:
        """The job's progress so far; empty when it has none to tell."""
        known = {messages.CONNECTED: True} if self.handover.given else {}
        progress = self.progress
        return known | ({} if progress is None else progress.snapshot())

    @property
    def workers(self) -> int:
        return memory.workers(self.conf, self.share)

    @property
    def image(self) -> messages.ImageSpec:
        if self.spec.image is None:
            raise errors.JobInvalid(f'Job {self.spec.id} names no image.')
        return self.spec.image

    @contextlib.contextmanager
    def storage(
        self, check: Callable[[], None] | None = None
    ) -> Iterator[production.ProductionStorage]:
        """What the volume lives on; registered, or the attachment's.

        :param check: see ProductionStorage.from_conf; None: the job's own
        :raises: ProductionError
        """
        known, attachment = self.spec.storage, self.spec.attachment
        if known is not None:
            storage = registry.open_storage(
                known.kind,
                self.conf,
                known.settings,
                known.credentials or {},
                check or self.control.check,
            )
        elif attachment is not None:
            kind = str(attachment.get('kind'))
            storage = registry.open_storage(
                kind, self.conf, check=self.control.check
            )
        else:
            raise errors.JobInvalid(
                f'Job {self.spec.id} has neither storage nor attachment.'
            )
        with contextlib.closing(storage):
            yield storage

    @contextlib.contextmanager
    def lun(
        self,
    ) -> Iterator[tuple[production.ProductionStorage, production.Lun]]:
        """Where the volume is that is read or written, and on what.

        :raises: ProductionError
        """
        with self.storage() as storage:
            self._check_writable(storage)
            reference = self._reference()
            with contextlib.closing(storage.find(reference)) as lun:
                yield storage, lun

    def _check_writable(self, storage: production.ProductionStorage) -> None:
        """Before it is looked for: where it is read it may not be now."""
        target = self.spec.target
        if target is not None and storage.capabilities.point_in_time:
            name = self.spec.storage and self.spec.storage.name
            raise production_errors.AccessDenied(
                f'volume {target.volume_id} can only be read: its storage '
                f'{name} shows points in time. Restore to a volume of another '
                'back end, or set its settings without point_in_time'
            )

    def _reference(self) -> production.Reference:
        attachment = self.spec.attachment
        if self.spec.attachment_timeout:
            attachment = self.handover.wait(
                self.spec.attachment_timeout, self.control.check
            ).to_dict()
        if attachment is not None:
            return production.Reference(self._volume_id, attachment)
        if self.spec.volume is None:
            raise errors.JobInvalid(f'Job {self.spec.id} names no volume.')
        return reference(self.spec.volume, self.spec.target is None)

    @property
    def _volume_id(self) -> str:
        target = self.spec.target
        return self.image.volume_id if target is None else target.volume_id


def reference(
    volume: messages.VolumeSpec, of_snapshot: bool
) -> production.Reference:
    """To a volume on a registered storage, or to the snapshot it names."""
    snapshot = None
    if of_snapshot and volume.snapshot is not None:
        snapshot = production.CinderSnapshot(
            volume.snapshot['id'],
            volume.snapshot['name'],
            volume.snapshot['provider_location'],
        )
    return production.Reference(
        volume.id,
        name=volume.name,
        host=volume.host,
        provider_location=volume.provider_location,
        snapshot=snapshot,
    )
