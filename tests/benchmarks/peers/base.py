# SPDX-License-Identifier: Apache-2.0
"""What a program has to offer to be measured beside ours."""

import pathlib
from typing import Protocol

from tests.benchmarks import process


class Unavailable(Exception):
    """It is not installed; the message says what to do."""


class Peer(Protocol):
    """A program that backs volumes up into a repository of its own.

    :ivar name: of the program
    :ivar options: how it is used, for people
    :ivar jobs: which of 'full', 'changed-1pct' and 'restore' it can do
    :ivar verifies: whether it checks what it restores by a hash of its own
    :ivar home: directory with everything that it makes
    :ivar repository: part of it: what is needed to restore
    """

    name: str
    options: str
    jobs: frozenset[str]
    verifies: bool
    home: pathlib.Path
    repository: pathlib.Path

    def provide(self) -> str:
        """Make sure that it can be run; its version.

        :raises Unavailable: it can't
        """
        ...

    def prepare(self) -> None:
        """Make home, which isn't there, with an empty repository."""
        ...

    def back_up(self, volume: pathlib.Path, image: str) -> process.Command:
        """What makes an image of that name."""
        ...

    def restore(
        self, image: str, volume: str, directory: pathlib.Path
    ) -> process.Command:
        """What makes a file of the name ``volume`` in an empty directory."""
        ...


ALL_JOBS = frozenset({'full', 'changed-1pct', 'restore'})
