# SPDX-License-Identifier: Apache-2.0
"""What the tests of the product share: eBackup's own view of a backup."""

from typing import Any

import fixtures

from tests.functional import base
from tests.functional import lab


class EBackupTestCase(base.LabTestCase):
    """Looks at images, jobs and the repository through eBackup's API."""

    def call(
        self, method: str, path: str, user: str = 'admin', **body: Any
    ) -> Any:
        """Return the document that the API answers; errors fail the test."""
        answer = self.service(user).request(
            path, method, **({'json': body} if body else {})
        )
        self.assertLess(answer.status_code, 400, answer.text)
        return answer.json() if answer.content else None

    def image(self, backup_id: str) -> dict[str, Any]:
        return self.call('GET', f'/v1/images/{backup_id}')['image']

    def job(self, job_id: str) -> dict[str, Any]:
        return self.call('GET', f'/v1/jobs/{job_id}')['job']

    def jobs(self, backup_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the jobs of an image, newest first."""
        path = f'/v1/jobs?image_id={backup_id}&kind={kind}'
        return self.call('GET', path)['jobs']

    def wait_for_job(self, job_id: str) -> dict[str, Any]:
        """Return a job once it has ended, however it did."""

        def ended() -> dict[str, Any] | None:
            found = self.job(job_id)
            over = found['state'] not in ('pending', 'running')
            return found if over else None

        return self.wait_for(ended, f'job {job_id} has ended')

    def wait_for_progress(self, backup_id: str, kind: str) -> dict[str, Any]:
        """Return the image's newest job of a kind, in the middle of it."""

        def moving() -> dict[str, Any] | None:
            for found in self.jobs(backup_id, kind)[:1]:
                self.assertIn(found['state'], ('pending', 'running'), found)
                if found['progress'].get('bytes_done'):
                    return found
            return None

        return self.wait_for(moving, f'{kind} of {backup_id} moves bytes')

    def log(self, service: str) -> str:
        """Return all that a service has logged, in this lab's life."""
        name = self.lab.service(service)
        log = self.lab.directory / 'log' / f'{name}.log'
        return log.read_text(errors='replace')

    def wait_for_log(self, service: str, *texts: str) -> None:
        """Wait until a service has logged these, in that order.

        Cinder sets the state of what has failed first, and then logs why.
        """

        def has_logged() -> bool:
            rest = self.log(service)
            for text in texts:
                _, found, rest = rest.partition(text)
                if not found:
                    return False
            return True

        self.wait_for(has_logged, f'{service} logs {texts}')

    def collect(self) -> dict[str, Any]:
        """Collect garbage; return the job when it has succeeded."""
        path = '/v1/repositories/default/collect'
        job = self.wait_for_job(self.call('POST', path)['job']['id'])
        self.assertEqual('succeeded', job['state'], job)
        return job

    def used(self) -> int:
        """Return the bytes of all files of the repository."""
        files = (self.lab.directory / 'repository').rglob('*')
        return sum(f.stat().st_size for f in files if f.is_file())


class Throttle(fixtures.Fixture):
    """Lets the proxy move no more than so many bytes per second.

    more: other options of [proxy]
    """

    def __init__(self, current: lab.Lab, rate: int, **more: object) -> None:
        self._lab = current
        self._options = {'max_bytes_per_second': rate, **more}
        self._file = current.directory / 'etc/ebackup.d/throttle.conf'

    def _setUp(self) -> None:
        lines = [f'{name} = {value}' for name, value in self._options.items()]
        self._file.write_text('\n'.join(['[proxy]', *lines, '']))
        self.addCleanup(self._end)
        self._restart()

    def lift(self) -> None:
        """From the proxy's next start on, which is left to the caller."""
        self._file.unlink(missing_ok=True)

    def _end(self) -> None:
        if self._file.exists():
            self.lift()
            self._restart()

    def _restart(self) -> None:
        self._lab.run('restart', self._lab.service('ebackup-proxy'))


def throttle_class(case: type[EBackupTestCase], rate: int) -> None:
    """For all tests of a class, since a proxy takes its time to start."""
    throttle = Throttle(lab.current(), rate)
    throttle.setUp()
    case.addClassCleanup(throttle.cleanUp)
