# SPDX-License-Identifier: Apache-2.0
import fixtures

from ebackup_service.production import connector_lun
from ebackup_service.production import errors
from tests import base


class Attached:
    """Plays what os-brick has attached."""

    protocol = 'odd'

    def __init__(self, handle):
        self.handle = handle
        self.attached = True

    def detach(self):
        self.attached = False


class TestFound(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        directory = self.useFixture(fixtures.TempDir())
        self.root = directory.path
        self.path = directory.join('volume')
        with open(self.path, 'wb') as file:
            file.write(b'content')

    def test_a_path_is_read_and_detached_when_it_is_closed(self):
        attached = Attached(self.path)
        lun = connector_lun.found(attached, [self.root])
        self.assertIsNone(lun.given)
        self.assertEqual(self.path, lun.key)
        source = lun.open_source(7)
        buffer = bytearray(7)
        source.read(0, memoryview(buffer))
        source.close()
        self.assertEqual(b'content', buffer)
        self.assertTrue(attached.attached)
        lun.close()
        self.assertFalse(attached.attached)

    def test_a_job_that_has_to_stop_touches_nothing(self):
        def check():
            raise ZeroDivisionError

        lun = connector_lun.found(Attached(self.path), [self.root], check)
        self.assertRaises(ZeroDivisionError, lun.open_source, 7)
        self.assertRaises(ZeroDivisionError, lun.open_target, 7, False)

    def test_roots_hold_for_what_os_brick_answers(self):
        self.assertRaises(
            errors.PathForbidden,
            *(connector_lun.found, Attached(self.path), ['/dev']),
        )

    def test_what_has_no_path_is_refused(self):
        error = self.assertRaises(
            errors.AttachmentInvalid,
            *(connector_lun.found, Attached(object()), ['/dev']),
        )
        self.assertIn('odd', str(error))
