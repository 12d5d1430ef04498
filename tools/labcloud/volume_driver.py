# SPDX-License-Identifier: Apache-2.0
"""A Cinder back end whose volumes are sparse files in a directory.

Small, but whole: snapshots, clones, growing and reverting work, and a volume
or a snapshot is attached either as a real block device (a loop device) or as
the plain file, which Cinder treats differently in a restore.

eBackup's proxy may get it by iSCSI instead, which the kernel need not know:
the proxy has an initiator of its own. Cinder has none, so what it attaches to
its own host stays a device or a file. Whom a connector is of, the name of its
initiator tells: that of the proxy's is one that eBackup has made, and that
nobody else uses.
"""

import os
import pathlib

from cinder import exception
from cinder import interface
from cinder.volume import driver
from oslo_config import cfg
from oslo_utils import units

from labcloud import iscsi
from labcloud import loop
from labcloud import volume_file

SECRET = 'lab-secret-of-connections'
OPTIONS = [
    cfg.StrOpt('lab_directory', help='Where the files of the volumes are.'),
    cfg.StrOpt(
        'lab_attach',
        default='block',
        choices=['block', 'file'],
        help='What an attached volume is: a loop device, or its plain file.',
    ),
    cfg.IntOpt(
        'lab_group',
        default=0,
        help='Group that may read and write the files or the loop devices.',
    ),
    *iscsi.OPTIONS,
]


@interface.volumedriver
class LabVolumeDriver(driver.VolumeDriver):
    VERSION = '1.0.0'

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)
        self._directory = pathlib.Path(self.configuration.lab_directory)
        self._group = self.configuration.lab_group
        self._block = self.configuration.lab_attach == 'block'
        self._target = iscsi.Target(self.configuration)

    @staticmethod
    def get_driver_options():
        return OPTIONS

    def check_for_setup_error(self):
        if not os.access(self._directory, os.W_OK):
            raise exception.VolumeBackendAPIException(
                data=f'{self._directory} is not a directory we can write to'
            )

    def _update_volume_stats(self):
        usage = os.statvfs(self._directory)
        self._stats = {
            'volume_backend_name': self.configuration.volume_backend_name,
            'vendor_name': 'eBackup lab',
            'driver_version': self.VERSION,
            'storage_protocol': 'local',
            'pools': [
                {
                    'pool_name': 'pool',
                    'total_capacity_gb': 'unknown',
                    'free_capacity_gb': usage.f_bavail
                    * usage.f_frsize
                    / units.Gi,
                    'thin_provisioning_support': True,
                    'max_over_subscription_ratio': 1000,
                    'QoS_support': False,
                }
            ],
        }

    def _path(self, volume_or_snapshot):
        return self._directory / volume_or_snapshot.name

    def local_path(self, volume):
        return str(self._path(volume))

    # Volumes and snapshots

    def create_volume(self, volume):
        path = self._path(volume)
        volume_file.create(path, volume.size * units.Gi, self._group)

    def create_cloned_volume(self, volume, src_vref):
        self._copy(src_vref, volume)
        # It may have been asked for larger than its source.
        volume_file.extend(self._path(volume), volume.size * units.Gi)

    def create_volume_from_snapshot(self, volume, snapshot):
        self.create_cloned_volume(volume, snapshot)

    def create_snapshot(self, snapshot):
        self._copy(snapshot.volume, snapshot)

    def revert_to_snapshot(self, context, volume, snapshot):
        self._copy(snapshot, volume)

    def _copy(self, source, target):
        volume_file.copy(self._path(source), self._path(target), self._group)

    def extend_volume(self, volume, new_size):
        path = self._path(volume)
        volume_file.extend(path, new_size * units.Gi)
        loop.refresh(path)

    def delete_volume(self, volume):
        self._delete(volume)

    def delete_snapshot(self, snapshot):
        self._delete(snapshot)

    def _delete(self, volume_or_snapshot):
        path = self._path(volume_or_snapshot)
        # A process that was killed leaves its devices behind.
        self._target.end(path)
        loop.detach(path)
        path.unlink(missing_ok=True)

    # Attaching

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def create_export_snapshot(self, context, snapshot, connector):
        pass

    def remove_export_snapshot(self, context, snapshot):
        pass

    def initialize_connection(self, volume, connector, **kwargs):
        path = self._path(volume)
        if self._target.serves(connector):
            return {
                'driver_volume_type': 'iscsi',
                'data': self._target.export(path, connector),
            }
        device = loop.attach(path, self._group) if self._block else str(path)
        return {
            'driver_volume_type': 'local',
            'data': {
                'device_path': device,
                'volume_id': volume.id,
                # As others have; it is to be found nowhere.
                'auth_password': SECRET,
            },
        }

    def terminate_connection(self, volume, connector, **kwargs):
        path = self._path(volume)
        if self._target.serves(connector):
            self._target.end(path)
        else:
            loop.detach(path)

    def initialize_connection_snapshot(self, snapshot, connector, **kwargs):
        return self.initialize_connection(snapshot, connector)

    def terminate_connection_snapshot(self, snapshot, connector, **kwargs):
        self.terminate_connection(snapshot, connector)
