# SPDX-License-Identifier: Apache-2.0
"""A storage that fails in the middle of a backup."""

import os
import subprocess
import sys
import textwrap

from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import repository
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import recording

MIB = 1024 * 1024


class FailingStorage(recording.RecordingStorage):
    """Raises an error instead of a crash."""

    error = errors.StorageFull('No space left on device')

    def _change(self, verb, key):
        if verb == 'create' and len(self.changes) == self.crash_before:
            raise self.error
        super()._change(verb, key)


class FaultTestCase(base.RepositoryTestCase):
    def test_full_storage_anywhere_in_a_backup(self):
        first = self.backup(os.urandom(MIB))
        before = self.keys()
        failing = FailingStorage(self.storage)
        repo = repository.Repository.open(failing)
        number = 0
        while True:
            failing.changes.clear()
            failing.crash_before = number
            session_id = base.new_id()
            try:
                image = self.backup(
                    os.urandom(MIB), repo=repo, session_id=session_id
                )
                break
            except errors.StorageFull:
                number += 1
            self.collect()
            self.assertEqual(before, self.keys())
            self.assertEqual(first.data, self.restore(first.id))

        self.assertLess(5, number)
        self.assertEqual(image.data, self.restore(image.id))

    def test_disk_that_fills_up(self):
        """With a real limit, in a process of its own."""
        first = self.backup(os.urandom(MIB))
        before = self.keys()
        program = textwrap.dedent("""
            import os, resource, sys
            from ebackup_service.repository import errors
            from tests.unit.ebackup_service.repository import base

            case = base.RepositoryTestCase()
            case.storage = base.nas.NasStorage(sys.argv[1])
            case.repo = base.repository.Repository.open(case.storage)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
            try:
                case.backup(os.urandom(1 << 20))
            except errors.StorageFull as error:
                print(error)
        """)
        done = subprocess.run(
            [sys.executable, '-c', program, self.path],
            capture_output=True,
            text=True,
            check=True,
        )

        self.assertIn('free or add space', done.stdout)
        self.collect()
        self.assertEqual(before, self.keys())
        self.assertEqual(first.data, self.restore(first.id))

    def test_process_that_is_killed_while_it_writes(self):
        first = self.backup(os.urandom(MIB))
        before = self.keys()
        program = textwrap.dedent("""
            import os, sys
            from tests.unit.ebackup_service.repository import base

            case = base.RepositoryTestCase()
            case.storage = base.nas.NasStorage(sys.argv[1])
            case.repo = base.repository.Repository.open(case.storage)
            while True:
                case.store(os.urandom(1 << 20))
                print('stored', flush=True)
        """)
        with subprocess.Popen(
            [sys.executable, '-c', program, self.path],
            stdout=subprocess.PIPE,
        ) as process:
            self.assertEqual(b'stored\n', process.stdout.readline())
            process.kill()

        result = self.collect()

        self.assertLess(0, result.packs_removed)
        self.assertEqual(before, self.keys())
        self.assertEqual(first.data, self.restore(first.id))
        # Temporary files, too.
        packs = {
            os.path.relpath(os.path.join(top, name), self.path)
            for top, _, names in os.walk(os.path.join(self.path, 'packs'))
            for name in names
        }
        self.assertEqual(self.keys(layout.PACKS), packs)

    def test_foreign_files_are_left_alone(self):
        image = self.backup(os.urandom(MIB))
        foreign = ['notes.txt', 'packs/core', f'images/{image.id}/notes']
        for name in foreign:
            with open(os.path.join(self.path, name), 'w') as file:
                file.write('mine')

        self.assertEqual(image.data, self.restore(image.id))
        self.repo.delete_image(image.id)
        self.collect()

        for name in foreign:
            self.assertTrue(os.path.exists(os.path.join(self.path, name)))
        self.assertEqual(0, self.repo.usage().images)
        self.assertEqual({'packs/core'}, self.keys(layout.PACKS))
