# SPDX-License-Identifier: Apache-2.0
"""Plays os-brick, which real storage networks would be needed for."""

SECRET = 's3cret-of-chap'


class Connector:
    """``connected``: what is attached; ``fail``: what the next calls raise."""

    def __init__(self, path=None):
        self.path = path
        self.connected = []
        self.fail = {}
        self.calls = []
        # called while a volume is being attached, or detached
        self.while_connecting = lambda: None
        self.while_disconnecting = lambda: None

    def connect_volume(self, data):
        self.calls.append(('connect', data))
        self.while_connecting()
        if 'connect' in self.fail:
            raise self.fail['connect']
        self.connected.append(data['target'])
        return {'type': 'block', 'path': self.path, 'scsi_wwn': 'w'}

    def disconnect_volume(
        self, data, device, force=False, ignore_errors=False
    ):
        self.calls.append(('disconnect', data, device, force, ignore_errors))
        self.while_disconnecting()
        if 'disconnect' in self.fail:
            raise self.fail['disconnect']
        if data['target'] in self.connected:
            self.connected.remove(data['target'])


class Module:
    """Of os_brick.initiator.connector what is used; one connector for all."""

    def __init__(self, connector):
        self.connector = connector
        self.asked = []
        self.InitiatorConnector = self
        self.properties = {'initiator': 'iqn.1', 'host': 'here'}

    def factory(self, protocol, root_helper, **options):
        if protocol == 'unknown':
            raise ValueError(f'no {protocol}')
        self.asked.append((protocol, options))
        return self.connector

    def get_connector_properties(self, *arguments):
        if isinstance(self.properties, Exception):
            raise self.properties
        return self.properties
