# SPDX-License-Identifier: Apache-2.0
"""Where processes listen, from /proc."""

import ipaddress
import os
import pathlib
import socket
import struct

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LISTENING = '0A'


def listening(leader: int) -> set[tuple[Address, int]]:
    """Return addresses and TCP ports of all processes of a session."""
    sockets = {
        target
        for process in pathlib.Path('/proc').glob('[0-9]*')
        if _session(process) == leader
        for target in _open_files(process)
        if target.startswith('socket:[')
    }
    return {
        (address, port)
        for table in ('tcp', 'tcp6')
        for address, port, inode in _table(table)
        if f'socket:[{inode}]' in sockets
    }


def _session(process: pathlib.Path) -> int | None:
    try:
        text = (process / 'stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The fourth field after the name in brackets, see proc(5).
    return int(text.rpartition(')')[2].split()[3])


def _open_files(process: pathlib.Path) -> list[str]:
    targets = []
    try:
        for descriptor in (process / 'fd').iterdir():
            targets.append(os.readlink(descriptor))
    except (FileNotFoundError, ProcessLookupError):
        pass  # It has ended, or closed the file, meanwhile.
    return targets


def _table(name: str) -> list[tuple[Address, int, str]]:
    lines = pathlib.Path('/proc/net', name).read_text().splitlines()[1:]
    found = []
    for fields in map(str.split, lines):
        if fields[3] == _LISTENING:
            text, _, port = fields[1].partition(':')
            found.append((_address(text), int(port, 16), fields[9]))
    return found


def _address(text: str) -> Address:
    """Parse 32-bit words of the network's bytes, in the machine's order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f'={len(words)}I', *words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return ipaddress.ip_address(socket.inet_ntop(family, packed))
