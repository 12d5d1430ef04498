# SPDX-License-Identifier: Apache-2.0
from unittest import mock

from ebackup_service.production import rbd_closing
from tests import base


class ReleaseLockTest(base.BaseTestCase):
    """Real images: see test_rbd_cluster."""

    def setUp(self):
        super().setUp()
        self.image = mock.Mock()

    def test_own_lock(self):
        self.image.is_exclusive_lock_owner.return_value = True
        rbd_closing.release_lock(self.image)
        self.image.lock_release.assert_called_once_with()

    def test_lock_of_another_client_is_left_alone(self):
        self.image.is_exclusive_lock_owner.return_value = False
        rbd_closing.release_lock(self.image)
        self.image.lock_release.assert_not_called()

    def test_failure_does_not_keep_from_closing(self):
        self.image.lock_release.side_effect = OSError
        rbd_closing.release_lock(self.image)
