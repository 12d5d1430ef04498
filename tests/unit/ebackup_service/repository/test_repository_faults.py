# SPDX-License-Identifier: Apache-2.0
"""Storages and processes that fail in the middle of a job."""

import os
import random
import subprocess
import sys
import textwrap
import time

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


class KilledTestCase(base.RepositoryTestCase):
    """Real processes, killed at a random instant of what they do."""

    _PROGRAM = textwrap.dedent("""
        import os, sys
        from tests.unit.ebackup_service.repository import base

        case = base.RepositoryTestCase()
        case.storage = base.nas.NasStorage(sys.argv[1])
        case.repo = base.repository.Repository.open(case.storage)
        image_ids = sys.argv[2:]
        print('ready', flush=True)
    """)

    def kill(self, program, *arguments, seconds):
        """Run a program, and kill it so long after it was ready.

        :returns: the lines that it has printed
        """
        with subprocess.Popen(
            [
                sys.executable,
                '-c',
                self._PROGRAM + textwrap.dedent(program),
                self.path,
                *arguments,
            ],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            self.assertEqual('ready\n', process.stdout.readline())
            time.sleep(random.uniform(0.0, seconds))
            process.kill()
            return process.stdout.read().splitlines()

    def images(self, number):
        """Images that share some chunks each with the one before."""
        images = []
        for generation in range(1, number + 1):
            data = bytearray(images[-1].data if images else bytes(MIB))
            for chunk in random.sample(range(MIB // base.CHUNK), 20):
                begin = chunk * base.CHUNK
                data[begin : begin + base.CHUNK] = os.urandom(base.CHUNK)
            images.append(
                self.backup(
                    bytes(data),
                    base=images[-1] if images else None,
                    generation=generation,
                )
            )
        return images

    def assert_clean(self, images):
        """After a collection nothing is there but these images."""
        self.collect()
        self.assertEqual(
            {image.id for image in images}, set(self.repo.images())
        )
        report = self.check()
        self.assertEqual([], report.problems)
        for image in images:
            self.assertEqual(image.data, self.restore(image.id))
        # Temporary files, too.
        files = {
            os.path.relpath(os.path.join(top, name), self.path)
            for top, _, names in os.walk(os.path.join(self.path, 'packs'))
            for name in names
        }
        self.assertEqual(self.keys(layout.PACKS), files)
        before = self.keys()
        self.collect()
        self.assertEqual(before, self.keys())

    def test_while_it_writes(self):
        first = self.backup(os.urandom(MIB))
        before = self.keys()
        for _ in range(3):
            self.kill(
                """
                while True:
                    case.store(os.urandom(1 << 20))
                """,
                seconds=0.1,
            )

        self.assert_clean([first])
        self.assertEqual(before, self.keys())

    def test_while_it_commits(self):
        lines = self.kill(
            """
            while True:
                print(case.backup(os.urandom(1 << 16)).id, flush=True)
            """,
            seconds=0.3,
        )

        # One more may count, whose acknowledgement was cut off.
        left = set(self.repo.images())
        marked = {i for i in left if self.repo.is_marked(i)}
        self.assertLessEqual(set(lines), marked)
        self.assertLessEqual(len(marked), len(lines) + 1)
        self.collect(dead=left - set(lines))
        self.assertEqual(set(lines), set(self.repo.images()))
        report = self.check()
        self.assertEqual([], report.problems)

    def test_while_it_deletes(self):
        images = {image.id: image for image in self.images(12)}
        lines = self.kill(
            """
            for image_id in image_ids:
                print('begin', image_id, flush=True)
                case.repo.delete_image(image_id)
                print('end', image_id, flush=True)
            """,
            *images,
            seconds=0.02,
        )

        begun = {line.split()[1] for line in lines if line[0] == 'b'}
        ended = {line.split()[1] for line in lines if line[0] == 'e'}
        marked = {i for i in images if self.repo.is_marked(i)}
        self.assertEqual(set(), marked & ended)
        self.assertEqual(set(images) - begun, marked - begun)
        for image_id in begun:
            self.repo.delete_image(image_id)
        self.assert_clean([images[i] for i in images if i not in begun])

    def test_while_it_collects(self):
        for _ in range(3):
            images = self.images(8)
            for image in images[:-1]:
                self.repo.delete_image(image.id)
            self.kill('case.collect()', seconds=0.02)

            self.assertEqual(images[-1].data, self.restore(images[-1].id))
            self.assert_clean(images[-1:])
            self.repo.delete_image(images[-1].id)
