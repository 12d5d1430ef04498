# SPDX-License-Identifier: Apache-2.0
"""A backup driver that does nothing: what is left is Cinder's own time."""

from typing import Any

from cinder.backup import driver


class NothingDriver(driver.BackupDriver):
    def backup(
        self, backup: Any, volume_file: Any, backup_metadata: bool = False
    ) -> None:
        pass

    def restore(
        self,
        backup: Any,
        volume_id: str,
        volume_file: Any,
        volume_is_new: bool,
    ) -> None:
        raise NotImplementedError

    def delete_backup(self, backup: Any) -> None:
        pass
