# SPDX-License-Identifier: Apache-2.0
"""Run the programs that set services up."""

import os
import pathlib
import shutil
import subprocess

from lablib import console
from lablib import lab as lab_module


def run(
    lab: lab_module.Lab,
    command: list[str],
    log: pathlib.Path,
    **environment: str,
) -> None:
    """Run it, with its output appended to the log; Problem if it fails."""
    with log.open('ab') as output:
        done = subprocess.run(
            command,
            env=os.environ | {'PYTHONWARNINGS': 'ignore'} | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=lab.lock,
        )
    if done.returncode:
        name = pathlib.Path(command[0]).name
        raise console.Problem(f'{name} failed; see {log}')


def empty(directory: pathlib.Path) -> None:
    """Let it be there, with nothing in it."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
