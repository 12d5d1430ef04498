# SPDX-License-Identifier: Apache-2.0
"""Programs that do what ours does; one a module."""

import pathlib
from typing import Any

from tests.benchmarks.peers import base
from tests.benchmarks.peers import benji
from tests.benchmarks.peers import borg
from tests.benchmarks.peers import qemu
from tests.benchmarks.peers import restic


def everyone(directory: pathlib.Path, homes: pathlib.Path) -> list[base.Peer]:
    """In the order in which they take turns.

    :param directory: for what is installed once
    :param homes: for what they store
    """
    return [
        restic.Restic(homes),
        borg.Borg(homes),
        benji.Benji(homes, directory / 'benji-venv'),
        qemu.QemuImg(homes),
    ]


def at_hand(
    everyone: list[base.Peer],
) -> tuple[list[base.Peer], dict[str, dict[str, Any]]]:
    """Those that can be run; and of all, by name, what they are.

    That is ``version``, ``options`` and ``verifies``; or in ``missing``, why
    one can't be run.
    """
    found: list[base.Peer] = []
    about: dict[str, dict[str, Any]] = {}
    for peer in everyone:
        try:
            version = peer.provide()
        except base.Unavailable as reason:
            print(f'{peer.name} is left out: {reason}', flush=True)
            about[peer.name] = {'missing': str(reason)}
        else:
            found.append(peer)
            about[peer.name] = {
                'version': version,
                'options': peer.options,
                'verifies': peer.verifies,
            }
    return found, about
