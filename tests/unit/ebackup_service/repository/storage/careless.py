# SPDX-License-Identifier: Apache-2.0
"""Storages that promise more than they keep, once the power fails."""

import contextlib
import os
import stat
from unittest import mock

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository.storage import nas
from ebackup_service.repository.storage import rooted


class WithoutDirectorySync(nas.NasStorage):
    def _create(self, key, parts):
        with mock.patch.object(self._files, 'sync'):
            super()._create(key, parts)


class WithoutSyncAbove(nas.NasStorage):
    def _create(self, key, parts):
        with mock.patch.object(self._files, 'sync', self._files._sync_one):
            super()._create(key, parts)


class WithSyncBeforeLink(WithoutDirectorySync):
    def _create(self, key, parts):
        temporary = self._files.write_temporary(key, parts)
        self._files.sync(os.path.dirname(key))
        self._files.link(temporary, key)
        self._discard(temporary)


class WithoutFileSync(nas.NasStorage):
    def _create(self, key, parts):
        system = rooted.os
        sync = system.fsync

        def fsync(descriptor):
            if stat.S_ISDIR(system.fstat(descriptor).st_mode):
                sync(descriptor)

        with mock.patch.object(system, 'fsync', fsync):
            super()._create(key, parts)


class InPlace(nas.NasStorage):
    def _create(self, key, parts):
        descriptor = self._files._open_new(key)
        rooted.os.write(descriptor, b''.join(parts))
        rooted.os.fsync(descriptor)
        rooted.os.close(descriptor)
        self._files.sync(os.path.dirname(key))


class TrustingWhatExists(nas.NasStorage):
    def _create(self, key, parts):
        with contextlib.suppress(errors.ObjectMissing):
            self.size(key)
            raise errors.ObjectExists(key)
        super()._create(key, parts)


class WithRootsNotSynced(nas.NasStorage):
    def is_careless(self, key):
        return key.endswith(layout.ROOT)

    def _create(self, key, parts):
        hurry = contextlib.nullcontext()
        if self.is_careless(key):
            hurry = mock.patch.object(self._files, 'sync')
        with hurry:
            super()._create(key, parts)


class WithCompactedNotSynced(WithRootsNotSynced):
    def is_careless(self, key):
        return key.startswith(layout.COMPACTED)
