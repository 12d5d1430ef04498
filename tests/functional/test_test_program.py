# SPDX-License-Identifier: Apache-2.0
"""tools/test, with a tox that runs nothing."""

import hashlib
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import fixtures

from tests import base

TOP = pathlib.Path(__file__).resolve().parents[2]

# Prints what the file of its environment's name says, and ends as it says.
TOX = """\
#!/bin/sh
echo "$@" >> "{top}/asked"
while [ "$1" != -e ]; do shift; done
. "{top}/tox-$2"
"""
GOOD = """\
echo '{0} tests.a.Test.test_good [0.1s] ... ok'
echo ' - Passed: 7'
echo ' - Skipped: 1'
echo ' - Expected Fail: 0'
echo ' - Unexpected Success: 0'
echo ' - Failed: 0'
"""
FAILED = """\
echo '{0} tests.a.Test.test_good [0.1s] ... ok'
echo '{1} tests.a.Test.test_bad [0.1s] ... FAILED'
echo '{0} tests.a.Test.test_hangs [] ... inprogress'
echo ' - Passed: 3'
echo ' - Failed: 2'
exit 1
"""
LINTER = """\
echo 'ruff....Failed'
echo '- hook id: ruff'
exit 1
"""
DIED = """\
echo 'no space left'
exit 3
"""
# Ends when it is interrupted, and not before.
HANGS = """\
trap 'echo undone > "{top}/undone"; exit 1' INT
touch "{top}/begun"
while true; do sleep 0.1; done
"""


class TestProgram(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        shutil.copytree(
            TOP / 'tools',
            self.top / 'tools',
            ignore=shutil.ignore_patterns('__pycache__'),
        )
        shutil.copy(TOP / 'upper-constraints.txt', self.top)
        shutil.copy(TOP / 'bindep.txt', self.top)
        self._make_venv()

    def _make_venv(self) -> None:
        """As it is after the first run, but for what the programs do."""
        programs = self.top / '.tools/venv/bin'
        programs.mkdir(parents=True)
        for name, text in (
            ('tox', TOX.replace('{top}', str(self.top))),
            ('bindep', '#!/bin/sh\n'),
            ('uv', '#!/bin/sh\n'),
        ):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        made = hashlib.sha256(sys.version.encode())
        for name in 'tools/requirements.txt', 'upper-constraints.txt':
            made.update((self.top / name).read_bytes())
        (self.top / '.tools/venv/complete').write_text(made.hexdigest())

    def _let(self, environment: str, script: str) -> None:
        path = self.top / f'tox-{environment}'
        path.write_text(script.replace('{top}', str(self.top)))

    def _start(self, *tiers: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, self.top / 'tools/test', *tiers],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _run(self, *tiers: str) -> tuple[int, list[str]]:
        program = self._start(*tiers)
        said, _ = program.communicate(timeout=60)
        return program.returncode, said.splitlines()

    def _wait_for(self, name: str) -> None:
        end = time.monotonic() + 60
        while not (self.top / name).exists():
            self.assertLess(time.monotonic(), end, name)
            time.sleep(0.05)

    def _asked(self) -> list[str]:
        return (self.top / 'asked').read_text().splitlines()

    def test_sums_up_what_tiers_say(self) -> None:
        for environment in 'pep8', 'cover', 'py312':
            self._let(environment, GOOD)
        code, said = self._run('lint', 'unit-3.11', 'unit-3.12')
        self.assertEqual(0, code, said)
        self.assertEqual('21 passed, 0 failed', said[-1])

    def test_names_what_failed(self) -> None:
        self._let('pep8', LINTER)
        self._let('mypy', DIED)
        self._let('cover', FAILED)
        self._let('py312', GOOD)
        code, said = self._run('lint', 'mypy', 'unit-3.11', 'unit-3.12')
        self.assertEqual(1, code, said)
        told = '\n'.join(said[said.index('failed in lint:') :])
        for expected in (
            'failed in lint:\n  ruff\n',
            'failed in mypy:\n  no test; its log ends:\n    no space left\n',
            'failed in unit-3.11:\n  tests.a.Test.test_bad\n'
            '  tests.a.Test.test_hangs (it did not end)\n',
        ):
            self.assertIn(expected, told)
        # A tier that fails without a failed test counts as one.
        self.assertEqual('10 passed, 4 failed', said[-1])

    def test_twice_in_a_row_and_after_an_interruption(self) -> None:
        self._let('pep8', HANGS)
        program = self._start('lint')
        self._wait_for('begun')
        program.send_signal(signal.SIGINT)
        said, _ = program.communicate(timeout=60)
        self.assertEqual(130, program.returncode, said)
        self.assertEqual(
            'undone\n', (self.top / 'undone').read_text(), 'not passed on'
        )
        self._let('pep8', GOOD)
        for _ in range(2):
            code, said = self._run('lint')
            self.assertEqual((0, '7 passed, 0 failed'), (code, said[-1]))
        run = 'run --colored no'
        # What was interrupted may have half an environment.
        self.assertEqual(
            [f'{run} -e pep8', f'{run} --recreate -e pep8', f'{run} -e pep8'],
            self._asked(),
        )

    def test_unknown_tier(self) -> None:
        code, said = self._run('lint', 'nothing')
        self.assertEqual(2, code)
        self.assertIn("'nothing' is none of lint, mypy, ", said[-1])
