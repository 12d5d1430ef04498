# SPDX-License-Identifier: Apache-2.0
"""Base of the tests of the installed distribution."""

import os
import pathlib
import subprocess
import sys
import sysconfig
import tomllib
from typing import Any

import fixtures
from oslotest import base

TREE = pathlib.Path(__file__).resolve().parents[2]
# Where the wheel has been installed.
SITE = pathlib.Path(sysconfig.get_path('purelib'))
PROGRAMS = pathlib.Path(sysconfig.get_path('scripts'))


class PackageTestCase(base.BaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        text = (TREE / 'pyproject.toml').read_text()
        self.project: dict[str, Any] = tomllib.loads(text)['project']

    def run_program(
        self, name: str, *arguments: str | os.PathLike[str]
    ) -> str:
        """Return what an installed program prints; it has to succeed."""
        return self._run(PROGRAMS / name, *arguments)

    def run_python(self, program: str, *arguments: str) -> str:
        """Return what Python prints that finds what is installed only."""
        return self._run(sys.executable, '-I', '-c', program, *arguments)

    def _run(self, *command: str | os.PathLike[str]) -> str:
        done = subprocess.run(
            command,
            # No configuration but that of the test.
            env={'HOME': str(self.directory), 'PYTHONWARNINGS': 'ignore'},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout
