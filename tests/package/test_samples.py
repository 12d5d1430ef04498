# SPDX-License-Identifier: Apache-2.0
"""Samples of the configuration, as tox -e genconfig,genpolicy makes them."""

import json
import pathlib

from tests.package import base

GENERATORS = base.TREE / 'etc'
OPTIONS = """
import json, sys, importlib
listed = importlib.import_module(sys.argv[1]).list_opts()
print(json.dumps([(str(group), [o.name for o in opts])
                  for group, opts in listed]))
"""
RULES = """
import json
from ebackup_service.api import policies
print(json.dumps([rule.name for rule in policies.list_rules()]))
"""


class TestConfiguration(base.PackageTestCase):
    def _generate(self, name: str) -> dict[str, str]:
        """Return the text of each section of a sample."""
        sample = self.directory / 'sample'
        self.run_program(
            'oslo-config-generator',
            *('--config-file', GENERATORS / 'oslo-config-generator' / name),
            *('--output-file', sample),
        )
        return _sections(sample)

    def _assert_all_are_in(
        self, sections: dict[str, str], module: str
    ) -> None:
        listed = json.loads(self.run_python(OPTIONS, module))
        self.assertTrue(listed)
        for group, names in listed:
            for name in names:
                option = f'#{name.replace("-", "_")} ='
                self.assertIn(option, sections[group])

    def test_every_option_of_the_service_is_in_it(self) -> None:
        sections = self._generate('ebackup.conf')
        self._assert_all_are_in(sections, 'ebackup_service.conf.opts')

    def test_defaults_are_ours_and_nothing_of_this_machine(self) -> None:
        sections = self._generate('ebackup.conf')
        self.assertIn('#port = 8790', sections['api'])
        self.assertIn('#host = <host name>', sections['proxy'])
        self.assertIn(
            '#connection = sqlite:///$state_path/ebackup.sqlite',
            sections['database'],
        )

    def test_options_of_what_the_service_uses_are_in_it(self) -> None:
        sections = self._generate('ebackup.conf')
        self.assertIn('#transport_url = ', sections['DEFAULT'])
        self.assertIn('#log_file = ', sections['DEFAULT'])
        self.assertIn('#policy_file = ', sections['oslo_policy'])
        self.assertIn('#auth_type = ', sections['keystone_authtoken'])
        self.assertIn(
            '#enable_proxy_headers_parsing = ', sections['oslo_middleware']
        )

    def test_every_option_of_the_driver_is_in_its_own(self) -> None:
        sections = self._generate('cinder-ebackup.conf')
        self.assertEqual({'DEFAULT', 'ebackup'}, set(sections))
        self._assert_all_are_in(sections, 'ebackup_driver.opts')


class TestPolicy(base.PackageTestCase):
    def _rules(self) -> list[str]:
        return json.loads(self.run_python(RULES))

    def test_every_rule_is_in_the_sample(self) -> None:
        sample = self.directory / 'sample'
        self.run_program(
            'oslopolicy-sample-generator',
            *(
                '--config-file',
                GENERATORS / 'oslo-policy-generator/ebackup.conf',
            ),
            *('--output-file', sample),
        )
        text = sample.read_text()
        for rule in self._rules():
            self.assertIn(f'#"{rule}": ', text)
        self.assertIn('# PUT  /v1/jobs/{job_id}/attachment', text)

    def test_rules_in_force_are_those_of_the_operator(self) -> None:
        home = self.directory / '.ebackup'
        home.mkdir()
        policy = home / 'policy.yaml'
        policy.write_text('"ebackup:image:show": "role:auditor"\n')
        (home / 'ebackup.conf').write_text(
            f'[oslo_policy]\npolicy_file = {policy}\n'
        )
        printed = self.run_program(
            'oslopolicy-policy-generator', '--namespace', 'ebackup'
        )
        self.assertIn('"ebackup:image:show": "role:auditor"', printed)
        for rule in self._rules():
            self.assertIn(f'"{rule}": ', printed)


def _sections(sample: pathlib.Path) -> dict[str, str]:
    sections: dict[str, str] = {}
    name = ''
    for line in sample.read_text().splitlines(keepends=True):
        if line.startswith('['):
            name = line.strip('[]\n')
        sections[name] = sections.get(name, '') + line
    return sections
