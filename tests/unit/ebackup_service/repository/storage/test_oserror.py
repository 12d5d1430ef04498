# SPDX-License-Identifier: Apache-2.0
import errno
import os

from ebackup_service.repository import errors
from ebackup_service.repository.storage import oserror
from tests import base


def fail(context, number):
    with context('the/object'):
        raise OSError(number, os.strerror(number))


class TranslationTestCase(base.BaseTestCase):
    def test_reading(self):
        for number, expected in (
            (errno.ENOENT, errors.ObjectMissing),
            (errno.ENOTDIR, errors.ObjectMissing),
            (errno.EACCES, errors.StorageDenied),
            (errno.EPERM, errors.StorageDenied),
            (errno.EIO, errors.ObjectUnreadable),
            (errno.ENODATA, errors.ObjectUnreadable),
            (errno.EUCLEAN, errors.ObjectUnreadable),
            (errno.ESTALE, errors.StorageUnavailable),
            (errno.ENOTCONN, errors.StorageUnavailable),
            (errno.ETIMEDOUT, errors.StorageUnavailable),
        ):
            error = self.assertRaises(expected, fail, oserror.reading, number)
            self.assertIs(expected, type(error))
            self.assertIn('the/object', str(error))

    def test_writing(self):
        for number, expected in (
            (errno.ENOSPC, errors.StorageFull),
            (errno.EDQUOT, errors.StorageFull),
            (errno.EFBIG, errors.StorageFull),
            (errno.EROFS, errors.StorageReadOnly),
            (errno.EACCES, errors.StorageDenied),
            (errno.EPERM, errors.StorageDenied),
            (errno.ENOENT, errors.StorageUnavailable),
            (errno.EIO, errors.StorageUnavailable),
        ):
            error = self.assertRaises(expected, fail, oserror.writing, number)
            self.assertIn('the/object', str(error))
            self.assertTrue(str(error).startswith(os.strerror(number)))

    def test_deleting(self):
        for number, expected in (
            (errno.EIO, errors.ObjectUnreadable),
            (errno.EUCLEAN, errors.ObjectUnreadable),
            (errno.ESTALE, errors.StorageUnavailable),
            (errno.EROFS, errors.StorageReadOnly),
            (errno.EACCES, errors.StorageDenied),
        ):
            error = self.assertRaises(expected, fail, oserror.deleting, number)
            self.assertIs(expected, type(error))
            self.assertIn('the/object', str(error))
