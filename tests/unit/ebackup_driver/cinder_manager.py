# SPDX-License-Identifier: Apache-2.0
"""Cinder's own BackupManager and VolumeDriver, without any devices."""

import contextlib

from cinder.common import config  # noqa: F401 registers Cinder's options
from cinder import objects

# Cinder's services do so first, and its managers can't be imported before.
objects.register_all()

from cinder.backup import manager  # noqa: E402
from cinder import rpc  # noqa: E402
from cinder.volume import configuration  # noqa: E402
from cinder.volume import driver  # noqa: E402
from cinder.volume import volume_utils  # noqa: E402
import fixtures  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_messaging import conffixture  # noqa: E402

CONF = cfg.CONF
LoopingCallDone = manager.loopingcall.LoopingCallDone


class Manager(manager.BackupManager):
    """Is given the path of a file instead of attaching a device."""

    def __init__(self, path):
        super().__init__(host='lab', semaphore=contextlib.nullcontext())
        self.is_initialized = True
        self._path = path

    def _attach_device(self, ctxt, device, properties, is_snapshot=False):
        return {'device': {'path': self._path}}

    def _detach_device(self, *args, **kwargs):
        pass


class BackEnd(driver.VolumeDriver):
    """Chooses what is attached as any of Cinder's does; copies no data."""

    GROUP = 'back_end'

    def __init__(self):
        super().__init__(
            configuration=configuration.Configuration(
                driver.backup_opts, self.GROUP
            )
        )

    def _nothing(self, *args, **kwargs):
        pass

    create_cloned_volume = _nothing
    create_volume_from_snapshot = _nothing
    create_snapshot = _nothing
    # Every back end has them; nothing is attached here.
    ensure_export = _nothing
    create_export = _nothing
    remove_export = _nothing
    initialize_connection = _nothing
    terminate_connection = _nothing


class CinderManager(fixtures.Fixture):
    """manager: one that runs the configured backup driver.

    back_end: where the volumes are; its options are in BackEnd.GROUP
    """

    def __init__(self, path):
        super().__init__()
        self._path = path

    def _setUp(self):
        messaging = self.useFixture(conffixture.ConfFixture(CONF))
        messaging.transport_url = 'fake:/'
        rpc.init(CONF)
        self.addCleanup(rpc.cleanup)
        # Both would ask the host and other services about connectors.
        self._answer(volume_utils, 'brick_get_connector_properties', {})
        self.manager = Manager(self._path)
        self.back_end = BackEnd()
        volume_service = self.manager.volume_rpcapi
        self._answer(volume_service, 'secure_file_operations_enabled', True)
        # cinder-volume's part: say which device it is, and carry on.
        self.useFixture(
            fixtures.MockPatchObject(
                volume_service, 'get_backup_device', self._continue
            )
        )

    def _continue(self, context, backup, volume):
        device, is_snapshot = self.back_end.get_backup_device(context, backup)
        found = {
            'backup_device': device,
            'is_snapshot': is_snapshot,
            'secure_enabled': True,
        }
        self.manager.continue_backup(
            context,
            backup,
            objects.BackupDeviceInfo.from_primitive(found, context),
        )

    def _answer(self, target, name, value):
        self.useFixture(
            fixtures.MockPatchObject(target, name, return_value=value)
        )
