# SPDX-License-Identifier: Apache-2.0
import argparse
import contextlib
import io

import fixtures

from ebackup_service.cmd import manage
from tests.unit.ebackup_service.cmd.manage import base


class CommandLineTest(base.ManageTestCase):
    def _usage(self, *words):
        """Run what argparse ends by itself; the code and what it printed."""
        out = io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            ended = self.assertRaises(SystemExit, manage.main, list(words))
        return ended.code, out.getvalue()

    def test_help_names_nouns_and_exit_codes(self):
        code, text = self._usage('--help')
        self.assertEqual(0, code)
        for noun in ('db', 'image', 'job', 'proxy', 'repository', 'storage'):
            self.assertIn(noun, text)
        self.assertIn('exit codes:', text)

    def _verbs(self, parser, *words):
        """Every verb there is, by any name, with the words before it."""
        below = [
            named
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
            for named in action.choices.items()
        ]
        if not below:
            yield words
        for name, inner in below:
            yield from self._verbs(inner, *words, name)

    def test_every_verb_has_help_and_json(self):
        verbs = [*self._verbs(manage._parser())]
        self.assertIn(('db', 'sync'), verbs)
        self.assertIn(('repository', 'gc'), verbs)
        for words in verbs:
            code, text = self._usage(*words, '--help')
            self.assertEqual(0, code)
            self.assertRegex(text, r'(?m)^  --json\b', words)

    def test_wrong_command_line_is_2(self):
        for words in (
            (),
            ('image',),
            ('image', 'paint'),
            ('image', 'show'),
            ('image', 'list', '--state', 'lost'),
            ('paint',),
        ):
            code, text = self._usage(*words)
            self.assertEqual(2, code)
            self.assertIn('usage:', text)


class TroubleTest(base.ManageTestCase):
    def test_missing_configuration_file(self):
        found = io.StringIO()
        with contextlib.redirect_stderr(found):
            code = manage.main(
                ['--config-file', '/does/not/exist', 'image', 'list']
            )
        self.assertEqual(1, code)
        self.assertIn('/does/not/exist', found.getvalue())

    def test_catalog_without_tables(self):
        directory = self.useFixture(fixtures.TempDir()).path
        with open(f'{self.directory}/ebackup.conf', 'a') as options:
            options.write(f'[DEFAULT]\nstate_path = {directory}\n')
        said = self.refused(1, 'image', 'list')
        self.assertIn('ebackup-manage db sync', said)

    def test_catalog_that_can_only_be_read(self):
        path = f'{self.directory}/ebackup.sqlite'
        with open(f'{self.directory}/ebackup.conf', 'a') as options:
            options.write(
                '[database]\n'
                f'connection = sqlite:///file:{path}?mode=ro&uri=true\n'
            )
        self.assertEqual([], self.ask('image', 'list')['images'])
        said = self.refused(1, 'repository', 'create', 'a', 'file:///a')
        self.assertIn('attempt to write a readonly database; ', said)
        self.assertEqual(1, said.count('\n'))

    def test_unknown_objects_are_3(self):
        for words in (
            ('image', 'show', 'x'),
            ('image', 'delete', 'x'),
            ('job', 'show', 'x'),
            ('job', 'cancel', 'x'),
            ('repository', 'show', 'x'),
            ('repository', 'usage', 'x'),
            ('repository', 'gc', 'x'),
            ('storage', 'show', 'x'),
            ('storage', 'set', 'x', '--trust', 'shadow'),
            ('storage', 'delete', 'x'),
        ):
            self.refused(3, *words)
