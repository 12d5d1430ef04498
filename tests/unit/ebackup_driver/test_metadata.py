# SPDX-License-Identifier: Apache-2.0
import json

from ebackup_driver import metadata
from tests import base


class TestWithoutSecrets(base.BaseTestCase):
    def test_leaves_the_credentials_of_the_export_out(self):
        document = {
            'version': 2,
            'volume-base-metadata': {
                'provider_auth': 'CHAP user s3cret',
                'encryption_key_id': 'k',
            },
            'volume-metadata': {'provider_auth': "a user's own key"},
        }
        kept = json.loads(metadata.without_secrets(json.dumps(document)))
        del document['volume-base-metadata']['provider_auth']
        self.assertEqual(document, kept)

    def test_nothing_stays_nothing(self):
        self.assertIsNone(metadata.without_secrets(None))
        self.assertIsNone(metadata.without_secrets(''))

    def test_other_documents_pass(self):
        self.assertEqual(
            '{"version": 2}', metadata.without_secrets('{"version": 2}')
        )
