# SPDX-License-Identifier: Apache-2.0
"""A key manager that keeps each key in a file.

Cinder's own, ConfKeyManager, has one key only, so that nothing could be seen
of which key belongs to what. All processes of a lab's Cinder see the same
directory.
"""

import json
import pathlib
import secrets
import uuid

from castellan.common import exception
from castellan.common.objects import symmetric_key
from castellan.key_manager import not_implemented_key_manager
from oslo_config import cfg

OPTIONS = [cfg.StrOpt('lab_keys', help='The directory of the keys.')]


class FileKeyManager(not_implemented_key_manager.NotImplementedKeyManager):
    def __init__(self, configuration):
        configuration.register_opts(OPTIONS, group='key_manager')
        self._directory = pathlib.Path(configuration.key_manager.lab_keys)

    def create_key(
        self, context, algorithm='AES', length=256, expiration=None, name=None
    ):
        value = secrets.token_bytes(length // 8)
        key = symmetric_key.SymmetricKey(algorithm, length, value, name)
        return self.store(context, key)

    def store(self, context, managed_object, expiration=None):
        if context is None:
            raise exception.Forbidden()
        key_id = str(uuid.uuid4())
        path = self._path(key_id)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(
            json.dumps(
                {
                    'algorithm': managed_object.algorithm,
                    'length': managed_object.bit_length,
                    'value': managed_object.get_encoded().hex(),
                }
            )
        )
        return key_id

    def get(self, context, managed_object_id, metadata_only=False):
        try:
            found = json.loads(self._path(managed_object_id).read_text())
        except FileNotFoundError:
            raise self._unknown(managed_object_id) from None
        return symmetric_key.SymmetricKey(
            found['algorithm'],
            found['length'],
            bytes.fromhex(found['value']),
            id=managed_object_id,
        )

    def delete(self, context, managed_object_id, force=False):
        try:
            self._path(managed_object_id).unlink()
        except FileNotFoundError:
            raise self._unknown(managed_object_id) from None

    def _path(self, key_id):
        return self._directory / str(uuid.UUID(key_id))

    def _unknown(self, key_id):
        return exception.ManagedObjectNotFoundError(uuid=key_id)
