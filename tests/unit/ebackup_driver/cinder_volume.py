# SPDX-License-Identifier: Apache-2.0
"""Plays cinder-volume by the calls of it that the driver makes."""

import itertools

import fixtures

SECRET = 's3cret-of-chap'


class CinderVolume(fixtures.Fixture):
    """exports: (id, host of the connector), as often as it is exported

    calls: (method, id, host) in order
    fail: {method: exception} that the next calls raise, having done it
    data: what the connections consist of
    timeouts: seconds that calls were given, where that is not Cinder's matter
    """

    def _setUp(self):
        self.exports = []
        self.calls = []
        self.fail = {}
        self.data = {'auth_password': SECRET}
        self.timeouts = []
        # of the bus, by which it is asked
        self.client = self
        self._numbers = itertools.count(1)
        self.useFixture(
            fixtures.MonkeyPatch(
                'cinder.volume.rpcapi.VolumeAPI', lambda: self
            )
        )

    def prepare(self, timeout):
        self.timeouts.append(timeout)
        return self

    def _called(self, method, found, connector):
        self.calls.append((method, found.id, connector['host']))
        if method in self.fail:
            raise self.fail[method]

    def initialize_connection(self, context, volume, connector):
        return self._export('initialize_connection', volume, connector)

    def initialize_connection_snapshot(self, context, snapshot, connector):
        return self._export(
            'initialize_connection_snapshot', snapshot, connector
        )

    def _export(self, method, found, connector):
        self.exports.append((found.id, connector['host']))
        self._called(method, found, connector)
        return {
            'driver_volume_type': 'local',
            'data': {**self.data, 'number': next(self._numbers)},
            'connector': 'not to be passed on',
        }

    def terminate_connection(self, context, volume, connector, force=False):
        self._end('terminate_connection', volume, connector)

    def terminate_connection_snapshot(
        self, context, snapshot, connector, force=False
    ):
        self._end('terminate_connection_snapshot', snapshot, connector)

    def _end(self, method, found, connector):
        self._called(method, found, connector)
        export = (found.id, connector['host'])
        if export in self.exports:
            self.exports.remove(export)
