# SPDX-License-Identifier: Apache-2.0
"""A storage says what can't be, of what is allocated or has changed."""

from ebackup_service.production import base as production
from ebackup_service.production import errors as production_errors
from ebackup_service.proxy import backup
from ebackup_service.proxy import restore
from ebackup_service.server import images
from tests.unit.ebackup_service.production import folder
from tests.unit.ebackup_service.proxy import volumes_case

CHUNK = volumes_case.CHUNK
SIZE = volumes_case.SIZE


def impossible():
    """After something that is taken over, and is wrong."""
    yield production.Extent(0, CHUNK, production.ExtentKind.DATA)
    yield production.Extent(SIZE, CHUNK, production.ExtentKind.DATA)


def unavailable():
    yield production.Extent(0, CHUNK, production.ExtentKind.DATA)
    raise production_errors.DifferenceUnavailable('the bitmap is gone')


class DoubtTestCase(volumes_case.VolumesTestCase):
    def say(self, allocated=None, changed=None):
        """What the storage says from now on, where it isn't the truth."""
        truth = folder.FolderSource._list_all

        def told(source):
            is_changed = source.gaps is production.ExtentKind.UNCHANGED
            wrong = changed if is_changed else allocated
            return truth(source) if wrong is None else wrong()

        self.patch(folder.FolderSource, '_list_all', told)

    def back_up_right(self):
        """The result of a backup, and what was logged, from warnings on."""
        task = self.task()
        with self.assertLogs('ebackup_service.proxy', 'WARNING') as logs:
            result = backup.run(task)
        self.fixture.finish(task.spec, result=result)
        image = images.show(self.catalog, task.image.id)
        self.assertEqual(self.content(), self.restored(image))
        self.tidy()
        return result, logs.output


class TestTrusted(DoubtTestCase):
    def assert_again(self, logged, *hows):
        self.assertEqual(len(hows), len(logged))
        for line, how in zip(logged, hows, strict=True):
            self.assertIn(f'begins again, and {how} all of its', line)

    def test_allocated_can_not_be(self):
        self.say(allocated=impossible)
        result, logged = self.back_up_right()
        self.assertEqual('full', result['kind'])
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertIn('must be sorted', result['extents_reason'])
        self.assertNotIn('changes', result)
        self.assert_again(logged, 'reads')

    def test_neither_can_be(self):
        self.back_up()
        self.change(3)
        self.say(impossible, impossible)
        result, logged = self.back_up_right()
        self.assertEqual('incremental', result['kind'])
        self.assertEqual('compared', result['changes'])
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertEqual(1, result['chunks_stored'])
        self.assertIn('extents_reason', result)
        self.assert_again(logged, 'compares', 'reads')

    def test_why_it_compared_is_told_nevertheless(self):
        self.back_up()
        lun = self.lun()
        for number, name in lun.snapshots().items():
            lun.drop_snapshot(production.Snapshot(number, name))
        self.say(allocated=impossible)
        result, _ = self.back_up_right()
        self.assertIn('is gone', result['changes_reason'])
        self.assertIn('must be sorted', result['extents_reason'])

    def test_whoever_reads_all_begins_no_more(self):
        task = self.task()
        error = production_errors.ExtentsInvalid('whatever it is')

        def fail(source, offset, buffer):
            raise error

        self.patch(folder.FolderSource, 'read', fail)
        self.assertRaises(type(error), backup.run, task)
        self.assertEqual(str(error), task.reads_all)

    def test_restore_begins_no_more_for_that(self):
        image, _ = self.back_up()
        job = self.fixture.restore(
            *(image, self.volume_id),
            volume={**folder.volume('volume'), 'size': SIZE},
        )
        task = self.again(job.id)
        opened = []

        def fail(lun, size, is_new):
            opened.append(size)
            raise production_errors.ExtentsInvalid('of a new volume')

        self.patch(folder.FolderLun, 'open_target', fail)
        self.assertRaises(production_errors.ExtentsInvalid, restore.run, task)
        self.assertEqual([SIZE], opened)


class TestShadow(DoubtTestCase):
    values = {'trust': 'shadow'}

    def assert_told(self, logged):
        [line] = logged
        self.assertIn('could not be compared with what was found', line)

    def assert_read_once(self, result):
        self.assertEqual(SIZE, result['bytes_read'])
        self.assertNotIn('missed_bytes', result)
        self.assertNotIn('missed_extents', result)

    def test_allocated_can_not_be(self):
        self.say(allocated=impossible)
        result, logged = self.back_up_right()
        self.assertIn('must be sorted', result['extents_reason'])
        self.assert_read_once(result)
        self.assert_told(logged)

    def test_what_has_changed_can_not_be_or_not_be_told(self):
        for wrong, reason in (
            (impossible, 'must be sorted'),
            (unavailable, 'the bitmap is gone'),
        ):
            with self.subTest(reason):
                self.back_up()
                self.change(3)
                self.say(changed=wrong)
                result, logged = self.back_up_right()
                self.assertEqual('compared', result['changes'])
                self.assertIn(reason, result['changes_reason'])
                self.assert_read_once(result)
                self.assert_told(logged)
