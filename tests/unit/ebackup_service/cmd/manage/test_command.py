# SPDX-License-Identifier: Apache-2.0
import argparse

from ebackup_service.cmd import catalogs
from ebackup_service.cmd.manage import command
from tests.unit.ebackup_service.cmd.manage import base


class ContextTest(base.ManageTestCase):
    def test_catalog_is_open(self):
        asked = argparse.Namespace(noun='image', json=True)
        with command.Context.opened(self.conf, asked) as context:
            self.assertEqual(self.catalog.version(), context.catalog.version())

    def test_only_db_does_without_tables(self):
        self.conf.set_override('connection', 'sqlite://', group='database')
        with command.Context.opened(
            self.conf, argparse.Namespace(noun='db', json=True)
        ) as context:
            self.assertIsNone(context.catalog.version())
        other = command.Context.opened(
            self.conf, argparse.Namespace(noun='image', json=True)
        )
        self.assertRaises(catalogs.NotReady, other.__enter__)


class VerbTest(base.ManageTestCase):
    def test_aliases_run_the_same(self):
        parser = argparse.ArgumentParser()
        verbs = command.noun(parser.add_subparsers(), 'thing', 'things')
        parser_of_verb = command.verb(verbs, 'do', int, 'does it', 'make')
        command.add_waiting(parser_of_verb)
        for word in ('do', 'make'):
            asked = parser.parse_args(['thing', word, '--timeout', '3'])
            self.assertIs(int, asked.run)
            self.assertEqual('thing', asked.noun)
            self.assertEqual(3.0, asked.timeout)
            self.assertFalse(asked.wait)
