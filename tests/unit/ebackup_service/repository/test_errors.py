# SPDX-License-Identifier: Apache-2.0

from ebackup_service.repository import errors
from tests import base


class ErrorsTestCase(base.BaseTestCase):
    def test_corrupt_names_what_where_and_why(self):
        error = errors.Corrupt('chunk', 'packs/aa/b/d-1 at 128', 'a bit')

        self.assertEqual(
            'Damaged chunk in packs/aa/b/d-1 at 128: a bit', str(error)
        )
        self.assertEqual(
            ('chunk', 'packs/aa/b/d-1 at 128', 'a bit'),
            (error.what, error.name, error.reason),
        )

    def test_message_stays_short_enough_for_cinder(self):
        error = errors.Corrupt('root', 'name', 'x' * 1000)

        self.assertLess(len(str(error)), 255)

    def test_retryable_by_type(self):
        retryable = {
            error
            for error in vars(errors).values()
            if isinstance(error, type) and getattr(error, 'retryable', False)
        }

        self.assertEqual(
            {
                errors.ObjectUnreadable,
                errors.StorageFull,
                errors.StorageUnavailable,
            },
            retryable,
        )
