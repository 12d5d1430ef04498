#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check that tests/unit mirrors the packages.

``ebackup_service/repository/pack.py`` is tested in
``tests/unit/ebackup_service/repository/test_pack.py``. A subject too large
for one file may be split: ``test_pack_recovery.py`` belongs to ``pack.py``,
too. The functions of a package's ``__init__.py`` are tested in
``test_init.py`` of the mirrored directory.

A module needs no test of its own when it holds no function with a body, or
lies in a directory of declarations, one noun a file: options, policies,
schemas, migrations. Those are tested where they are used, or all together by
the tests of the directory's ``__init__.py``.
"""

import ast
from collections import abc
import pathlib
import sys

PACKAGES = ('ebackup_driver', 'ebackup_service')
UNIT = pathlib.Path('tests', 'unit')
DECLARATIONS = {'conf', 'policies', 'schemas', 'migrations'}


def does_something(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a body is more than a docstring, ``...`` and ``pass``."""
    for statement in function.body:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(
            statement.value, ast.Constant
        ):
            continue
        return True
    return False


def has_code(module: pathlib.Path) -> bool:
    tree = ast.parse(module.read_text(encoding='utf-8'), str(module))
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and does_something(node)
        for node in ast.walk(tree)
    )


def is_declaration(module: pathlib.Path) -> bool:
    return module.stem != '__init__' and bool(
        DECLARATIONS.intersection(module.parts)
    )


def subject(module: pathlib.Path) -> str:
    return module.stem.strip('_')


def missing_tests(package: pathlib.Path) -> abc.Iterator[str]:
    for module in sorted(package.rglob('*.py')):
        if is_declaration(module) or not has_code(module):
            continue
        test = UNIT / module.parent / f'test_{subject(module)}.py'
        tests = {test, *test.parent.glob(f'{test.stem}_*.py')}
        if not any(path.exists() for path in tests):
            yield f'{module}: no unit test, expected {test}'


def stray_tests(package: pathlib.Path) -> abc.Iterator[str]:
    subjects: dict[pathlib.Path, set[str]] = {}
    for module in sorted(package.rglob('*.py')):
        subjects.setdefault(UNIT / module.parent, set()).add(subject(module))
    for test in sorted((UNIT / package).rglob('test_*.py')):
        name = test.stem.removeprefix('test_')
        if not any(
            name == known or name.startswith(f'{known}_')
            for known in subjects.get(test.parent, ())
        ):
            yield f'{test}: tests no module of {package}'


def unimportable_tests() -> abc.Iterator[str]:
    """A directory without ``__init__.py`` is passed over by discovery."""
    for test in sorted(UNIT.rglob('test_*.py')):
        for parent in test.relative_to(UNIT).parents:
            if not (UNIT / parent / '__init__.py').exists():
                yield f'{test}: {UNIT / parent}/__init__.py is missing'


def strangers() -> abc.Iterator[str]:
    for path in sorted(UNIT.iterdir()):
        if path.is_dir() and path.name not in (*PACKAGES, '__pycache__'):
            yield f'{path}: mirrors none of {", ".join(PACKAGES)}'


def main() -> int:
    problems = [*unimportable_tests(), *strangers()]
    for name in PACKAGES:
        package = pathlib.Path(name)
        problems += [*missing_tests(package), *stray_tests(package)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
