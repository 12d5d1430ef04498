# SPDX-License-Identifier: Apache-2.0
"""Ceph RBD: Cinder's volumes as images of one pool.

The driver says nothing; an image is found by the name that the volume has on
its back end. Whatever reads or writes goes by the image's id, so that an image
that was made anew under the name is not taken for the old one.
"""

from collections.abc import Callable
from collections.abc import Mapping
import threading
from typing import Any

from oslo_config import cfg

from ebackup_service.production import base
from ebackup_service.production import errors
from ebackup_service.production import rbd_calls
from ebackup_service.production import rbd_cluster
from ebackup_service.production import rbd_io
from ebackup_service.production import rbd_library
from ebackup_service.production import rbd_lun


class RbdStorage:
    """One pool, or namespace of it; connected when it is first needed.

    ``_lock`` protects ``_cluster``; connecting goes on with it held, so that
    threads that come at the same time share one connection.
    """

    SETTINGS: Mapping[str, Any] = {
        'type': 'object',
        'additionalProperties': False,
        'required': ['pool'],
        'properties': {
            'pool': {
                'description': 'where Cinder has its volumes (rbd_pool)',
                'type': 'string',
                'minLength': 1,
                'maxLength': 255,
            },
            'namespace': {
                'description': 'of the pool',
                'type': 'string',
                'maxLength': 255,
            },
            'user': {
                'description': 'without "client."',
                'type': 'string',
                'pattern': '^[A-Za-z0-9][A-Za-z0-9._-]*$',
                'maxLength': 255,
                'default': 'ebackup',
            },
            'cluster': {
                'description': 'names the file /etc/ceph/CLUSTER.conf of the '
                "proxies' hosts",
                'type': 'string',
                'pattern': '^[A-Za-z0-9][A-Za-z0-9_-]*$',
                'maxLength': 64,
                'default': 'ceph',
            },
            'mon_host': {
                'description': 'addresses of the monitors as in a ceph.conf; '
                'no such file is read then',
                'type': 'string',
                'pattern': r'^[\[A-Za-z0-9][\]\[A-Za-z0-9.:,; /_-]*$',
                'maxLength': 1024,
            },
            'timeout': {
                'description': 'seconds that Ceph has for each answer',
                'type': 'integer',
                'minimum': 1,
                'maximum': 600,
                'default': 30,
            },
            'lock_timeout': {
                'description': 'seconds that a restore waits for the lock of '
                'another client, which Ceph takes for alive for half a minute '
                'after its end',
                'type': 'integer',
                'minimum': 0,
                'maximum': 600,
                'default': 40,
            },
        },
        'not': {'required': ['cluster', 'mon_host']},
    }
    # Not the monitors: a cluster gets others, and has an id by which another
    # one is found out.
    PLACE = frozenset(('cluster', 'pool', 'namespace'))
    # Without them /etc/ceph/CLUSTER.conf says it.
    REACHED_BY = frozenset(('mon_host',))
    # A target is read, or what changed of it is listed.
    MEMORY = max(
        sum(rbd_io.SOURCE),
        sum(rbd_io.TARGET),
        rbd_io.SOURCE.job + rbd_io.TARGET.job,
    )
    CREDENTIALS: Mapping[str, Any] = {
        'type': 'object',
        'additionalProperties': False,
        'properties': {
            'key': {
                'description': "the user's; without it, a keyring on the "
                "proxies' hosts has to have it",
                'type': 'string',
                'pattern': '^[A-Za-z0-9+/]+=*$',
                'maxLength': 255,
            }
        },
    }
    capabilities = base.Capabilities(
        allocated_extents=True,
        changed_extents=True,
        snapshots=True,
        anchors=True,
        cinder_snapshots=True,
    )

    def __init__(
        self,
        library: rbd_library.Library,
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        check: Callable[[], None] = base.no_check,
    ) -> None:
        self._library = library
        self._settings = settings
        self._credentials = credentials
        self._lock_timeout = settings.get('lock_timeout', 40)
        self._calls = rbd_calls.Calls(check)
        self._lock = threading.Lock()
        self._cluster: rbd_cluster.Cluster | None = None

    @classmethod
    def check_installed(cls) -> None:
        rbd_library.load()

    @classmethod
    def from_conf(
        cls,
        conf: cfg.ConfigOpts,
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        check: Callable[[], None] = base.no_check,
    ) -> 'RbdStorage':
        return cls(rbd_library.load(), settings, credentials, check)

    def find(self, reference: base.Reference) -> 'rbd_lun.RbdLun':
        if not reference.name:
            raise errors.AttachmentInvalid(
                f"volume {reference.volume_id} came without the image's name: "
                'is the backup driver as new as this service?'
            )
        lun = rbd_lun.find(
            self._connected(), reference.name, self._lock_timeout
        )
        if reference.snapshot is not None:
            lun.given = lun.find_snapshot(reference.snapshot.name)
            if lun.given is None:
                raise errors.SnapshotUnknown(
                    f'image {reference.name} has no snapshot '
                    f'{reference.snapshot.name}'
                )
        return lun

    def find_kept(
        self, reference: base.Reference, key: str
    ) -> 'rbd_lun.RbdLun | None':
        return rbd_lun.find_kept(
            self._connected(), reference.name, key, self._lock_timeout
        )

    def close(self) -> None:
        with self._lock:
            cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def _connected(self) -> rbd_cluster.Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = rbd_cluster.connect(
                    self._library,
                    self._calls,
                    self._settings,
                    self._credentials,
                )
            return self._cluster
