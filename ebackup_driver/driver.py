# SPDX-License-Identifier: Apache-2.0
"""Cinder's backup driver."""

from cinder.backup import driver
from cinder import interface
from oslo_config import cfg

from ebackup_driver import opts

CONF = cfg.CONF
opts.register(CONF)


@interface.backupdriver
class EBackupDriver(driver.BackupDriver):
    """Backs volumes up by asking the eBackup service to do so."""

    def __init__(self, context):
        super().__init__(context)
        self.support_force_delete = True

    @staticmethod
    def get_driver_options():
        return opts.driver_options()

    def check_for_setup_error(self):
        pass

    def backup(self, backup, volume_file, backup_metadata=False):
        raise NotImplementedError

    def restore(self, backup, volume_id, volume_file, volume_is_new):
        raise NotImplementedError

    def delete_backup(self, backup):
        raise NotImplementedError

    def export_record(self, backup):
        raise NotImplementedError

    def import_record(self, backup, driver_info):
        raise NotImplementedError
