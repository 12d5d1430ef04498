# SPDX-License-Identifier: Apache-2.0
"""Nothing is missing in the wheel, and what it has works."""

import importlib.metadata
import json

from tests.package import base

PACKAGES = ('ebackup_driver', 'ebackup_service')
LOAD = """
import importlib.metadata, json, sys
for group, name, value in json.loads(sys.argv[1]):
    importlib.metadata.EntryPoint(name, value, group).load()
"""


class TestFiles(base.PackageTestCase):
    def test_every_file_of_the_packages_is_installed(self) -> None:
        missing = [
            path
            for package in PACKAGES
            for path in (base.TREE / package).rglob('*')
            if path.is_file()
            and '__pycache__' not in path.parts
            and not (base.SITE / path.relative_to(base.TREE)).is_file()
        ]
        self.assertEqual([], missing)

    def test_they_are_what_is_imported(self) -> None:
        for package in PACKAGES:
            where = self.run_python(
                f'import {package}; print({package}.__file__)'
            )
            self.assertEqual(f'{base.SITE / package}/__init__.py\n', where)


class TestEntryPoints(base.PackageTestCase):
    def setUp(self) -> None:
        super().setUp()
        [installed] = importlib.metadata.distributions(
            name='cinder-ebackup', path=[str(base.SITE)]
        )
        self.installed = {
            (point.group, point.name, point.value)
            for point in installed.entry_points
        }

    def test_are_those_that_are_declared(self) -> None:
        groups = {
            'console_scripts': self.project['scripts'],
            **self.project['entry-points'],
        }
        declared = {
            (group, name, value)
            for group, points in groups.items()
            for name, value in points.items()
        }
        self.assertEqual(declared, self.installed)

    def test_lead_to_something(self) -> None:
        self.run_python(LOAD, json.dumps(sorted(self.installed)))


class TestPrograms(base.PackageTestCase):
    def test_explain_themselves(self) -> None:
        for name in self.project['scripts']:
            self.assertIn('--config-file', self.run_program(name, '--help'))

    def test_catalog_is_made(self) -> None:
        path = self.directory / 'catalog.sqlite'
        file = self.directory / 'ebackup.conf'
        file.write_text(f'[database]\nconnection = sqlite:///{path}\n')
        manage = ('ebackup-manage', '--config-file', file)
        self.run_program(*manage, 'db', 'sync')
        self.assertLess(0, path.stat().st_size)
