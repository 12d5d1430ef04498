# SPDX-License-Identifier: Apache-2.0
"""All of Cinder in one process: API, scheduler, volume, backup.

With that, oslo.messaging's fake:/ reaches everybody, and sqlite has one
writer: no message bus and no database server are needed.
"""

from cinder import monkey_patch

monkey_patch.patch()  # before anything else is imported

import logging as python_logging  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402

from cinder.cmd import backup as backup_cmd  # noqa: E402, F401 its options
from cinder.cmd import volume as volume_cmd  # noqa: E402
from cinder.common import config  # noqa: E402
from cinder import coordination  # noqa: E402
from cinder import objects  # noqa: E402
from cinder import rpc  # noqa: E402
from cinder import service  # noqa: E402
from cinder import utils  # noqa: E402
from cinder import version  # noqa: E402
import os_brick  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log as logging  # noqa: E402
from oslo_privsep import priv_context  # noqa: E402
from oslo_service import service as oslo_service  # noqa: E402

CONF = cfg.CONF


class Service(service.Service):
    """A service that is not alone in its process.

    Cinder keeps the id of the process's service in a class attribute; with
    several, all would report as the last one that was made.
    """

    def report_state(self) -> None:
        service.Service.service_id = self.origin_service_id
        super().report_state()


def _create_services() -> list[oslo_service.ServiceBase]:
    services = [Service.create(binary='cinder-scheduler')]
    for backend in CONF.enabled_backends:
        CONF.register_opt(volume_cmd.host_opt, group=backend)
        services.append(
            Service.create(
                binary='cinder-volume',
                host=f'{CONF.host}@{backend}',
                service_name=backend,
                coordination=True,
            )
        )
    semaphore = utils.semaphore_factory(CONF.backup_max_operations, 1)
    services.append(
        Service.create(
            binary='cinder-backup',
            service_name='backup',
            coordination=True,
            process_number=1,
            semaphore=semaphore,
        )
    )
    return [*services, service.WSGIService('osapi_volume')]


def main() -> None:
    objects.register_all()
    CONF(sys.argv[1:], project='cinder', version=version.version_string())
    config.set_middleware_defaults()
    logging.setup(CONF, 'cinder')
    python_logging.captureWarnings(True)
    priv_context.init(root_helper=shlex.split(utils.get_root_helper()))
    os_brick.setup(CONF)
    coordination.COORDINATOR.start()
    rpc.init(CONF)
    launcher = oslo_service.ServiceLauncher(CONF, restart_method='mutate')
    for one in _create_services():
        launcher.launch_service(one)
    launcher.wait()


if __name__ == '__main__':
    main()
