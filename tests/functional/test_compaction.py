# SPDX-License-Identifier: Apache-2.0
"""Packs of which most is garbage are compacted, and restore all the same."""

import os
from typing import Any

from tests.functional import base
from tests.functional import ebackup_case

MIB = base.MIB
CHUNK = base.CHUNK
SIZE = 24 * MIB


class CompactionTestCase(ebackup_case.EBackupTestCase):
    """A volume of which all but a part is overwritten after a backup."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.create_volume()
        self.write(self.volume, 0, os.urandom(SIZE))
        self.first = self.backup(self.volume)
        # Each eighth chunk stays.
        for offset in range(0, SIZE, 8 * CHUNK):
            self.write(self.volume, offset + CHUNK, os.urandom(7 * CHUNK))
        self.digest = self.sha256(self.volume)
        self.second = self.backup(self.volume)

    def compact(self) -> dict[str, Any]:
        """Collect everything that there is; the job's result."""
        return self.collect()['result']

    def check(self) -> dict[str, Any]:
        path = '/v1/repositories/default/check'
        job = self.call('POST', path, read_data=True)['job']
        job = self.wait_for_job(job['id'])
        self.assertEqual('succeeded', job['state'], job)
        return job['result']

    def objects(self, prefix: str, backup: str) -> list[str]:
        session = self.jobs(backup, 'backup')[0]['id']
        top = self.lab.directory / 'repository' / prefix / session[:2]
        return [str(f) for f in top.glob(f'{session}/d-*')]

    def test_most_of_an_image_goes_and_the_rest_restores(self) -> None:
        packs = self.objects('packs', self.first)
        self.delete_backup(self.first)
        before = self.used()

        result = self.compact()

        self.assertGreaterEqual(result['packs_compacted'], len(packs))
        self.assertGreater(result['bytes_compacted'], SIZE // 2)
        self.assertLess(self.used(), before - SIZE // 2)
        self.assertEqual(
            len(packs), len(self.objects('compacted', self.first))
        )
        self.assertEqual([], self.objects('packs', self.first))
        self.assertEqual([], self.check()['problems'])
        self.assertEqual(self.digest, self.sha256(self.restore(self.second)))
        # What was compacted is a base as any other.
        self.write(self.volume, 2 * CHUNK, os.urandom(CHUNK))
        digest = self.sha256(self.volume)
        third = self.backup(self.volume)
        self.assertLess(self.image(third)['bytes_stored'], 2 * CHUNK)
        self.delete_backup(self.second)
        self.compact()
        self.assertEqual(digest, self.sha256(self.restore(third)))
        self.delete_backup(third)
        self.compact()
        for prefix in ('packs', 'compacted'):
            self.assertEqual([], self.objects(prefix, self.first))
