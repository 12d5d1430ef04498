# SPDX-License-Identifier: Apache-2.0
"""Install what the lab runs: a venv, and a copy of this tree in it.

The tree is copied, since the eBackup service's user might not be able to read
where it is, and since what runs should not change while someone is editing.
Each `up`, `start` and `restart` copies it again.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess

from lablib import console
from lablib import lab as lab_module
from lablib import system

_PACKAGES = ('ebackup_driver', 'ebackup_service')
_METADATA = (
    'LICENSE',
    'README.rst',
    'pyproject.toml',
    'requirements.txt',
    'setup.cfg',
    'setup.py',
)
_CLOUD = 'tools/labcloud'
# Of tools/test, where that has been: has a uv of the same version.
_TOOLS = lab_module.TREE / '.tools/venv'


def install(lab: lab_module.Lab) -> None:
    """Make the venv what requirements and tree say; quick if it is that."""
    tree = lab_module.TREE
    constraints = tree / 'upper-constraints.txt'
    requirements = [
        tree / 'requirements.txt',
        tree / 'tools/lablib/requirements.txt',
    ]
    python = system.python(lab.settings.profile)
    whole = lab.venv / 'venv.complete'
    if not _holds(whole, python):
        with console.step('making a venv'):
            _make_venv(lab, python, constraints)
    stamp = lab.venv / 'packages.complete'
    wanted = _digest([constraints, *requirements])
    if not _holds(stamp, wanted):
        # An installation that was interrupted leaves packages of which uv
        # takes the half for the whole: what is not complete is made anew.
        whole.unlink(missing_ok=True)
        with console.step('installing Cinder, Keystone and the rest'):
            arguments: list[str | os.PathLike[str]] = ['-c', constraints]
            for path in requirements:
                arguments += ['-r', path]
            _uv_install(lab, arguments)
        stamp.write_text(wanted)
        whole.write_text(python)
    if lab.settings.ceph:
        _link_bindings(lab)
    copy(lab)
    stamp = lab.venv / 'ebackup.complete'
    wanted = _digest([lab.source / 'pyproject.toml'], wanted)
    if not _holds(stamp, wanted):
        with console.step('installing eBackup from this tree'):
            _uv_install(
                lab, ['--no-deps', '--reinstall', '--editable', lab.source]
            )
        # For tools/labcloud, and in case the editable install lists packages
        # one by one.
        for site in lab.venv.glob('lib/python3*/site-packages'):
            (site / 'lab.pth').write_text(f'{lab.source}\n')
        stamp.write_text(wanted)


def copy(lab: lab_module.Lab) -> None:
    """Bring the lab's copy of the tree up to date."""
    wanted = {}
    for package in (*_PACKAGES, _CLOUD):
        top = lab_module.TREE / package
        for path in top.rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                wanted[path.relative_to(top.parent)] = path
    for name in _METADATA:
        path = lab_module.TREE / name
        if path.exists():
            wanted[pathlib.Path(name)] = path
    for name, path in wanted.items():
        target = lab.source / name
        content = path.read_bytes()
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for package in (*_PACKAGES, pathlib.Path(_CLOUD).name):
        for path in (lab.source / package).rglob('*'):
            name = path.relative_to(lab.source)
            if path.suffix != '.pyc' and path.is_file() and name not in wanted:
                path.unlink()


def digest(lab: lab_module.Lab, packages: tuple[str, ...]) -> str:
    """Return what changes when PyPI's packages do, or these of this tree."""
    paths = [lab.venv / 'packages.complete']
    for package in packages:
        for path in (lab.source / package).rglob('*'):
            if path.is_file() and path.suffix != '.pyc':
                paths.append(path)
    return _digest(paths)


def _make_venv(
    lab: lab_module.Lab, python: str, constraints: pathlib.Path
) -> None:
    """Make a venv with nothing but uv in it."""
    if lab.venv.exists():
        shutil.rmtree(lab.venv)
    make = [python, '-m', 'venv', lab.venv]
    if (_TOOLS / 'complete').exists():
        # To install pip, and uv by it, takes longer than all the rest.
        _run(lab, [*make, '--without-pip'])
        shutil.copy2(_TOOLS / 'bin/uv', lab.binary('uv'))
        return
    _run(lab, make)
    pip = [lab.binary('pip'), '--disable-pip-version-check', 'install']
    _run(lab, [*pip, '--quiet', '-c', constraints, 'uv'])


def _link_bindings(lab: lab_module.Lab) -> None:
    """Let the venv have Debian's bindings, and no other module of Debian's."""
    for file in system.bindings().values():
        for site in lab.venv.glob('lib/python3*/site-packages'):
            link = site / file.name
            if not link.is_symlink():
                link.symlink_to(file)


def _uv_install(
    lab: lab_module.Lab, arguments: list[str | os.PathLike[str]]
) -> None:
    python = lab.binary('python')
    uv = [lab.binary('uv'), 'pip', 'install', '--quiet', '--python', python]
    # The copy has no history from which pbr could tell the version.
    environment = os.environ | {'PBR_VERSION': '0.0.0.dev1'}
    _run(lab, [*uv, *arguments], environment)


def _run(
    lab: lab_module.Lab,
    command: list[str | os.PathLike[str]],
    environment: dict[str, str] | None = None,
) -> None:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=lab.lock,
        text=True,
    )
    if done.returncode:
        raise console.Problem(
            f'{pathlib.Path(command[0]).name} failed:\n{done.stdout.strip()}'
        )


def _digest(paths: list[pathlib.Path], *more: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f'{path} {path.stat().st_size}\n'.encode())
        digest.update(path.read_bytes())
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()


def _holds(stamp: pathlib.Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted
