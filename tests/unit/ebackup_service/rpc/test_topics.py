# SPDX-License-Identifier: Apache-2.0

from unittest import mock

from ebackup_service.rpc import topics
from tests import base


class TopicsTestCase(base.BaseTestCase):
    def test_versions_from_the_oldest_to_ours_are_understood(self):
        with mock.patch.multiple(topics, OLDEST='1.9', VERSION='1.11'):
            for version in ('1.9', '1.10', '1.11'):
                self.assertTrue(topics.understood(version), version)
            for version in ('1.8', '1.12', '0.9', '2.0', '2.10', '', 'x'):
                self.assertFalse(topics.understood(version), version)

    def test_our_own_is(self):
        self.assertTrue(topics.understood(topics.VERSION))
        self.assertTrue(topics.understood(topics.OLDEST))
