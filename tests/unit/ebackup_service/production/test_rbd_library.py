# SPDX-License-Identifier: Apache-2.0
import errno
import sys
import types
from unittest import mock

from ebackup_service.production import errors
from ebackup_service.production import rbd_library
from tests import base


class CephError(Exception):
    def __init__(self, code=None):
        super().__init__('as Ceph says it')
        self.errno = code


class ExplainedTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        module = types.SimpleNamespace(Error=CephError)
        self.library = rbd_library.Library(module, module)

    def explain(self, error, **kinds):
        with self.library.explained('reading image volumes/x', **kinds):
            raise error

    def test_each_error_has_its_kind(self):
        for code, wanted in (
            (errno.ENOENT, errors.VolumeUnknown),
            (errno.EPERM, errors.AccessDenied),
            (errno.EACCES, errors.AccessDenied),
            (errno.EBUSY, errors.VolumeBusy),
            (errno.ETIMEDOUT, errors.SourceUnavailable),
            (errno.ESHUTDOWN, errors.SourceUnavailable),
            (errno.ENOSPC, errors.SourceUnavailable),
            (errno.EINVAL, errors.SourceUnavailable),
            (None, errors.SourceUnavailable),
        ):
            for error in CephError(code), OSError(code, 'text'):
                raised = self.assertRaises(wanted, self.explain, error)
                self.assertIn('while reading image', str(raised))
                self.assertLess(len(str(raised)), 255)

    def test_kinds_of_a_target(self):
        target = errors.TargetUnavailable
        for code in errno.ENOENT, errno.ESHUTDOWN, errno.ENOSPC, errno.EROFS:
            self.assertRaises(
                target,
                self.explain,
                CephError(code),
                unavailable=target,
                missing=target,
            )

    def test_who_was_fenced_learns_it(self):
        error = self.assertRaises(
            errors.SourceUnavailable,
            self.explain,
            CephError(errno.ESHUTDOWN),
        )
        self.assertIn('locked this proxy out', str(error))

    def test_errors_of_ours_pass(self):
        self.assertRaises(
            errors.SizeMismatch, self.explain, errors.SizeMismatch()
        )


class LoadTest(base.BaseTestCase):
    def test_one_of_the_modules_is_missing(self):
        for name in 'rados', 'rbd':
            modules = dict.fromkeys(('rados', 'rbd'), types.ModuleType('any'))
            modules[name] = None
            with mock.patch.dict(sys.modules, modules):
                self.assertRaises(errors.NotInstalled, rbd_library.load)
