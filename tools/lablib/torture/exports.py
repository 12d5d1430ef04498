# SPDX-License-Identifier: Apache-2.0
"""The storage by which either proxy has jobs of the lab's block devices.

What Cinder attaches to its own host is for the proxy of that host alone. What
it exports any proxy may have, so a job can go on at another one.
"""

from lablib import configuration
from lablib import lab as lab_module
from lablib import rest
from lablib import system
from lablib.torture import cloud as cloud_module

_NAME = 'torture'
_BACK_END = f'{configuration.HOST}@block'
_PATH = f'/v1/storages/{_NAME}'
# Seconds until proxies have said that they attach what is exported, and until
# jobs that were given up have ended.
_READY = 60.0
_IDLE = 60.0


def are_possible(lab: lab_module.Lab) -> bool:
    """Tell whether there are two proxies, and what only root makes."""
    return lab.settings.separate and system.is_root()


def options(lab: lab_module.Lab) -> str:
    """Return those of [proxy] with which proxies attach by os-brick."""
    # Nothing that is attached here needs a real root.
    helper = f'unshare --map-root-user {lab.binary("privsep-helper")}'
    return f'privsep_helper = {helper}'


class Exports:
    def __init__(self, cloud: cloud_module.Cloud) -> None:
        self._cloud = cloud

    def begin(self) -> None:
        """Register the storage; it serves nothing yet."""
        self._cloud.wait(self._all_attach, 'both proxies attach', _READY)
        storage = {
            'name': _NAME,
            'kind': 'connector',
            'settings': {},
            'backends': [],
        }
        try:
            self._ask('POST', '/v1/storages', storage)
        except rest.Failure as failure:
            if failure.code != 409:
                raise
            # An earlier run has left it.
            self.choose(False)

    def choose(self, exported: bool) -> None:
        """Let Cinder export block devices from now on, or attach them.

        Where a job that was given up still goes on, it stays as it was.
        """
        served = {'backends': [_BACK_END] if exported else []}
        try:
            self._ask('PATCH', _PATH, served)
        except rest.Failure as failure:
            if failure.code != 409:
                raise

    def end(self) -> None:
        self._cloud.wait(self._gone, f'storage {_NAME} is forgotten', _IDLE)

    def _all_attach(self) -> bool:
        answer = self._cloud.ask('/v1/proxies', service='ebackup')
        there = {
            proxy['host']
            for proxy in answer['proxies']
            if proxy['alive']
            and 'connector' in proxy['capabilities']['production']
        }
        return set(configuration.PROXIES.values()) <= there

    def _gone(self) -> bool:
        try:
            self._ask('DELETE', _PATH)
        except rest.Failure as failure:
            if failure.code not in (404, 409):
                raise
            return failure.code == 404
        return True

    def _ask(self, method: str, path: str, storage: object = None) -> object:
        body = None if storage is None else {'storage': storage}
        return self._cloud.ask(path, body, method, 'ebackup')
