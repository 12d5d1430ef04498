# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the documents."""

import pathlib

SAMPLES = pathlib.Path(__file__).parent / 'configuration' / 'samples'
SAMPLES.mkdir(exist_ok=True)
GENERATORS = pathlib.Path(__file__).parents[2] / 'etc'

extensions = [
    'openstackdocstheme',
    'oslo_config.sphinxconfiggen',
    'oslo_config.sphinxext',
    'oslo_policy.sphinxext',
    'oslo_policy.sphinxpolicygen',
]
project = 'eBackup for OpenStack'
html_theme = 'openstackdocs'
html_theme_options = {'display_badge': False}
openstackdocs_auto_name = False
openstackdocs_auto_version = False

config_generator_config_file = [
    (
        str(GENERATORS / 'oslo-config-generator' / 'ebackup.conf'),
        'configuration/samples/ebackup',
    ),
    (
        str(GENERATORS / 'oslo-config-generator' / 'cinder-ebackup.conf'),
        'configuration/samples/cinder-ebackup',
    ),
]
policy_generator_config_file = [
    (
        str(GENERATORS / 'oslo-policy-generator' / 'ebackup.conf'),
        'configuration/samples/ebackup',
    ),
]
