# SPDX-License-Identifier: Apache-2.0
"""Cinder's backup driver.

Cinder makes a new instance for every operation. The instance moves no data:
it asks the eBackup service for a job, tells it where the volume is attached,
and waits.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import functools
from typing import Any
import uuid

from cinder.backup import driver
from cinder import exception
from cinder import interface
from cinder.objects import backup as cinder_backup
from oslo_config import cfg
from oslo_log import log as logging

from ebackup_driver import changes
from ebackup_driver import client as clients
from ebackup_driver import encryption
from ebackup_driver import errors
from ebackup_driver import exports
from ebackup_driver import hold
from ebackup_driver import leftovers
from ebackup_driver import metadata
from ebackup_driver import opts
from ebackup_driver import resources
from ebackup_driver import session
from ebackup_driver import status
from ebackup_driver import summary
from ebackup_driver import volume
from ebackup_driver import waiting

CONF = cfg.CONF
opts.register(CONF)
LOG = logging.getLogger(__name__)


@interface.backupdriver
class EBackupDriver(driver.BackupDriver):
    """Backs volumes up by asking the eBackup service to do so.

    Never rename this class or its module: Cinder keeps the path with each
    backup and restores only what the configured path made.
    """

    # The signatures are exactly those of Cinder's base class, which has no
    # annotations: backup is a cinder.objects.backup.Backup, volume_file what
    # the connector's device was opened as, driver_info a dict.

    def __init__(self, context):
        super().__init__(context)
        self.support_force_delete = True

    @staticmethod
    def get_driver_options():
        return opts.driver_options()

    def check_for_setup_error(self):
        """Check the configuration, without any I/O.

        An exception keeps cinder-backup down until it is restarted, and
        waiting here would make Cinder's scheduler refuse backups. So an
        unreachable service is found out by the operations, each for itself.
        """
        try:
            session.check(CONF)
        except errors.NotConfigured as error:
            option, _, reason = str(error).partition(': ')
            raise exception.InvalidConfigurationValue(
                f'[{opts.GROUP}] {option}: {reason}'
            ) from error

    def backup(self, backup, volume_file, backup_metadata=False):
        """Make an image of the volume; return updates of Cinder's record.

        The volume's metadata is always kept: Cinder never passes
        backup_metadata, and what it would leave out makes volumes bootable.
        Returns None when the backup was deleted meanwhile.
        """
        try:
            image = self._make_image(backup, volume_file)
        except errors.EBackupError as error:
            if status.looks_deleted(backup):
                LOG.info(
                    'Backup %(backup)s was deleted meanwhile: %(error)s',
                    {'backup': backup.id, 'error': error},
                )
                return None
            raise _reported(error) from error
        updates: dict[str, Any] = {
            'service_metadata': summary.service_metadata(image)
        }
        if CONF.ebackup.clear_parent:
            updates['parent_id'] = None
        return updates

    def restore(self, backup, volume_id, volume_file, volume_is_new):
        """Write the image to the volume, then put its metadata back.

        :raises BackupRestoreCancel: when the backup's state was reset; the
            volume is not written any more then
        """
        try:
            with _errors_reported():
                self._write_volume(
                    backup, volume_id, volume_file, volume_is_new
                )
        except errors.Withdrawn as error:
            LOG.info('%s', error)
            raise exception.BackupRestoreCancel(
                vol_id=volume_id, back_id=backup.id
            ) from error

    def delete_backup(self, backup):
        """Delete the image; no harm if it is unknown or deleted already.

        What an administrator failed to import into another project than the
        image's has the image's id, and must not take the image along.
        """
        with _errors_reported():
            client = self._client()
            waiter = self._waiter(client)
            try:
                job = waiter.persist(
                    client.delete_image, backup.id, backup.project_id
                )
            except errors.NotFound:
                LOG.warning(
                    'Image %(backup)s is not deleted with its backup, which '
                    'is in project %(project)s: it is not of this project',
                    {'backup': backup.id, 'project': backup.project_id},
                )
                return
            if job is not None:
                waiter.wait_for_end(job)

    def export_record(self, backup):
        """Return what another Cinder needs to use the image."""
        with _errors_reported():
            client = self._client()
            waiter = self._waiter(client)
            found = waiter.persist(client.image_record, backup.id)
            return dict(found.record)

    def import_record(self, backup, driver_info):
        """Take a backup over, if the service agrees that it is ours."""
        with _errors_reported():
            _check_record(backup, driver_info)
            client = self._client()
            self._waiter(client).persist(
                client.import_image_record,
                backup.id,
                backup.project_id,
                driver_info,
            )

    def _make_image(
        self, backup: cinder_backup.Backup, volume_file: Any
    ) -> resources.Image:
        check = self._watch(status.check_creating, backup)
        check()
        self._clear_parent(backup)
        client = self._client()
        waiter = self._waiter(client, check)
        request = volume.image_request(
            self.context,
            backup,
            CONF.ebackup.repository,
            metadata.without_secrets(self.get_metadata(backup.volume_id)),
        )
        more = functools.partial(
            changes.named, self.context, backup, volume_file
        )
        with self._image_deleted_with(backup, client):
            reservation = waiter.persist(
                client.reserve_image, backup.id, request
            )
            if reservation.job is None:
                return reservation.image
            LOG.info(
                'Job %(job)s makes backup %(backup)s',
                {'job': reservation.job.id, 'backup': backup.id},
            )
            exported = request['volume']['exported']
            self._wait(
                *(client, waiter, reservation.job),
                *(volume_file, exported, more),
            )
            check()
            return waiter.persist(client.image, backup.id)

    @contextlib.contextmanager
    def _image_deleted_with(
        self, backup: cinder_backup.Backup, client: clients.Client
    ) -> Iterator[None]:
        """Delete the image, if that fails because the backup was deleted.

        Cinder does not ask for it if it read the backup, to delete it, before
        it noted whose it is. By then the image may be there.
        """
        try:
            yield
        except errors.EBackupError:
            if status.looks_deleted(backup):
                self._delete_image(backup, client)
            raise

    def _delete_image(
        self, backup: cinder_backup.Backup, client: clients.Client
    ) -> None:
        try:
            self._waiter(client).persist(
                client.delete_image, backup.id, backup.project_id
            )
        except errors.EBackupError as error:
            LOG.warning(
                'Image %(backup)s of a backup that was deleted may be left '
                'over: %(error)s',
                {'backup': backup.id, 'error': error},
            )

    def _write_volume(
        self,
        backup: cinder_backup.Backup,
        volume_id: str,
        volume_file: Any,
        volume_is_new: bool,
    ) -> None:
        emptied = volume.is_emptied(volume_file)
        if emptied:
            volume.give_size_back(self.context, backup, volume_id, volume_file)
        client = self._client()
        if emptied:
            self._tell_emptied(client, volume_id)
        check = self._watch(status.check_restoring, backup)
        check()
        waiter = self._waiter(client, check)
        found = waiter.persist(client.image_record, backup.id)
        encryption.check_target(self.context, found.volume_metadata, volume_id)
        request = volume.restore_request(
            self.context,
            backup,
            volume_id,
            volume_is_new or emptied,
        )
        job_id = str(uuid.uuid4())
        job = waiter.persist(client.reserve_restore, job_id, request)
        LOG.info(
            'Job %(job)s restores backup %(backup)s to volume %(volume)s',
            {'job': job.id, 'backup': backup.id, 'volume': volume_id},
        )
        job = self._wait(
            client, waiter, job, volume_file, request['volume']['exported']
        )
        if job.warning:
            LOG.warning('Job %s: %s', job.id, job.warning)
        if found.volume_metadata:
            self.put_metadata(volume_id, found.volume_metadata)

    def _tell_emptied(self, client: clients.Client, volume_id: str) -> None:
        """Let nobody believe that what a volume held may still be there.

        Before anything that keeps the restore from being made, even that it
        is not wanted any more.
        """
        try:
            self._waiter(client).persist(client.forsake_anchors, volume_id)
        except errors.EBackupError:
            LOG.error(
                'Volume %s was emptied by Cinder, to be restored to, and the '
                'eBackup service does not know: before it is backed up, '
                'restore to it again, or let the anchors of its storage go '
                'once: openstack ebackup storage set --no-anchors',
                volume_id,
            )
            raise

    def _wait(
        self,
        client: clients.Client,
        waiter: waiting.Waiter,
        job: resources.Job,
        volume_file: Any,
        exported: Mapping[str, Any],
        more: Callable[[], dict[str, Any]] = dict,
    ) -> resources.Job:
        """Return the job when it succeeded; attach the volume if it must be.

        more: what else the attachment says.
        A proxy that reaches the volume over the storage network needs nothing
        of this host, but perhaps that Cinder exports the volume to it.
        """
        made = exports.Exports(self.context, exported)
        try:
            ended = self._attached(waiter, job, volume_file, made, more)
        finally:
            made.finish(client, job)
            leftovers.end_of_volume(self.context, client, job)
        leftovers.end_another(self.context, client)
        return ended

    @staticmethod
    def _attached(
        waiter: waiting.Waiter,
        job: resources.Job,
        volume_file: Any,
        made: exports.Exports,
        more: Callable[[], dict[str, Any]],
    ) -> resources.Job:
        if job.needs != 'attachment':
            return waiter.wait(job, {}, made.attachment)
        try:
            path = volume.path(volume_file)
        except errors.VolumeNotSupported:
            waiter.stop(job)
            raise
        with hold.held(volume_file) as lock:
            return waiter.wait(job, {**_attachment(path, lock), **more()})

    def _clear_parent(self, backup: cinder_backup.Backup) -> None:
        """Let go of the parent that an incremental request named.

        Images do not depend on each other. Saved at once, because Cinder
        would otherwise refuse to delete the parent of a failed backup.
        """
        if CONF.ebackup.clear_parent and backup.parent_id is not None:
            backup.parent_id = None
            backup.save()

    @staticmethod
    def _watch(
        check: Callable[[cinder_backup.Backup], None],
        backup: cinder_backup.Backup,
    ) -> status.Watch:
        return status.Watch(check, backup, CONF.ebackup.service_timeout)

    def _client(self) -> clients.Client:
        return session.connect(CONF, self.context.request_id)

    @staticmethod
    def _waiter(
        client: clients.Client,
        check: Callable[[], None] = waiting.stays_wanted,
    ) -> waiting.Waiter:
        group = CONF.ebackup
        return waiting.Waiter(
            client, group.poll_interval, group.service_timeout, check
        )


def _attachment(path: str, lock: int | None) -> dict[str, Any]:
    attachment = {
        'kind': 'attached',
        'host': CONF.ebackup.host,
        'path': path,
    }
    return attachment if lock is None else {**attachment, 'lock': lock}


def _check_record(backup: cinder_backup.Backup, driver_info: Any) -> None:
    # An importing user wrote this, perhaps by hand.
    known = isinstance(driver_info, dict)
    if not known or driver_info.get('image_id') != backup.id:
        raise errors.RecordRefused(
            f'Record is not that of backup {backup.id}: export it again with '
            'the eBackup driver'
        )


def _reported(error: errors.EBackupError) -> exception.BackupDriverException:
    """Return Cinder's exception; its message begins with the cause."""
    return exception.BackupDriverException(errors.shorten(str(error)))


@contextlib.contextmanager
def _errors_reported() -> Iterator[None]:
    try:
        yield
    except errors.Withdrawn:
        raise
    except errors.EBackupError as error:
        raise _reported(error) from error
