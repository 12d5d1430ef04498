# SPDX-License-Identifier: Apache-2.0
"""The command line of tools/lab."""

import argparse
import os
import pathlib
import subprocess
import sys

from lablib import console
from lablib import demo
from lablib import lab as lab_module
from lablib import lifecycle
from lablib import report
from lablib.torture import run as torture
from lablib import volumes

DESCRIPTION = """\
Starts, describes and stops a complete system on this machine: Keystone,
Cinder with two back ends for volumes, and eBackup. Everything is below DIR and
on the loopback interface; labs in different directories run side by side.

profiles: "default" has all of Cinder in one process, with sqlite, and
ebackup-all; "processes" has RabbitMQ, MariaDB, and every service in a process
of its own; "ceph" is "default" with a Ceph, in which Cinder has its volumes.

What is missing of Debian's packages root installs on the way.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='tools/lab',
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--dir',
        metavar='DIR',
        type=pathlib.Path,
        default=lab_module.TREE / '.lab',
        help='directory of the lab (default: %(default)s)',
    )
    commands = parser.add_subparsers(
        dest='command', metavar='COMMAND', required=True
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    for name, text in (
        ('up', 'make and start the lab, or put right what is not'),
        ('demo', 'back a volume up, change it, delete, restore, compare'),
    ):
        command = add(name, text)
        command.add_argument(
            'profile',
            nargs='?',
            choices=lab_module.PROFILES,
            help='default: that of the lab, or "default"',
        )
        command.add_argument(
            '--base-port',
            type=int,
            metavar='PORT',
            help='first of the consecutive ports (default: free ones)',
        )
        command.add_argument(
            '--backup-threading',
            choices=('eventlet', 'native'),
            help='how cinder-backup runs in profile processes; what is given '
            'last stays (default: native)',
        )
    command = add(
        'torture',
        'random backups, restores and deletions while services are killed, '
        'in profile "processes" or "ceph"; then look whether all is right',
    )
    command.add_argument(
        '--rounds',
        type=_positive,
        default=10,
        metavar='N',
        help='(default: %(default)s; a round takes some ten seconds)',
    )
    command.add_argument(
        '--seed',
        type=int,
        metavar='S',
        help='chooses operations and faults (default: a new one, that is '
        'printed)',
    )
    command.add_argument(
        '--json', action='store_true', help='print the summary as JSON'
    )
    command = add('env', 'print what a shell needs for "openstack"')
    command.add_argument(
        'user',
        nargs='?',
        default='admin',
        choices=lab_module.ACCOUNTS[:3],
        help='whose environment (default: %(default)s)',
    )
    command = add('status', 'show the services')
    command.add_argument('--json', action='store_true')
    command = add('logs', 'show the end of the logs')
    command.add_argument('name', nargs='?', help='of one service only')
    command.add_argument('-f', '--follow', action='store_true')
    add('down', 'stop all services')
    add('destroy', 'stop all services and remove everything')
    for name, text in (
        ('start', 'start one service'),
        ('stop', 'stop one service'),
        ('restart', 'stop and start one service'),
        ('kill', 'end one service by SIGKILL'),
    ):
        add(name, text).add_argument('service')
    for name, numbers, text in (
        ('path', [], "print the file that has a volume's bytes"),
        ('digest', ['begin?', 'end?'], "print a hash of a volume's bytes"),
        ('read', ['offset', 'length'], 'print bytes of a volume'),
        ('write', ['offset'], 'write standard input into a volume'),
    ):
        command = add(f'volume-{name}', text)
        command.add_argument('volume_id')
        for number in numbers:
            optional = {'nargs': '?'} if number.endswith('?') else {}
            command.add_argument(number.rstrip('?'), type=int, **optional)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError('at least 1')
    return number


def _run(arguments: argparse.Namespace) -> int:
    lab = lab_module.Lab(arguments.dir.resolve())
    match arguments.command:
        case 'up' | 'demo':
            profile = arguments.profile
            if profile is None:
                profile = lab.settings.profile if lab.exists else 'default'
            with lab.locked(create=True):
                lifecycle.up(
                    lab,
                    profile,
                    arguments.base_port,
                    arguments.backup_threading,
                )
            if arguments.command == 'demo':
                return demo.run(lab)
        case 'torture':
            with lab.locked():
                return torture.run(
                    lab, arguments.rounds, arguments.seed, arguments.json
                )
        case 'down':
            with lab.locked():
                lifecycle.down(lab)
        case 'destroy':
            with lab.locked():
                lifecycle.destroy(lab)
        case 'start' | 'stop' | 'restart' | 'kill':
            action = getattr(lifecycle, arguments.command)
            with lab.locked():
                action(lab, arguments.service)
        case 'env':
            print(report.environment(lab, arguments.user))
        case 'status':
            print(report.status(lab, arguments.json))
        case 'logs':
            return _logs(lab, arguments.name, arguments.follow)
        case 'volume-path':
            print(volumes.find(lab, arguments.volume_id))
        case 'volume-digest':
            part = arguments.begin or 0, arguments.end
            print(volumes.digest(lab, arguments.volume_id, *part))
        case 'volume-read':
            where = arguments.offset, arguments.length
            data = volumes.read(lab, arguments.volume_id, *where)
            sys.stdout.buffer.write(data)
        case 'volume-write':
            data = sys.stdin.buffer.read()
            volumes.write(lab, arguments.volume_id, (arguments.offset, data))
    return 0


def _logs(lab: lab_module.Lab, name: str | None, follow: bool) -> int:
    assert lab.settings
    files = sorted(lab.log.glob(f'{name or "*"}.log'))
    if not files:
        raise console.Problem(f'there is no log of {name} in {lab.log}')
    tail = ['tail', *(['-F'] if follow else ['-n', '40'])]
    return subprocess.run([*tail, *map(str, files)]).returncode


def main() -> int:
    os.umask(0o022)
    try:
        return _run(_parser().parse_args())
    except console.Problem as problem:
        print(f'tools/lab: {problem}', file=sys.stderr)
    except KeyboardInterrupt:
        print('tools/lab: interrupted', file=sys.stderr)
    except BrokenPipeError:
        pass
    return 1
