# SPDX-License-Identifier: Apache-2.0

from ebackup_service.api import auth
from ebackup_service import conf
from tests import base


class WrapTest(base.BaseTestCase):
    def test_every_choice_of_the_option_has_a_strategy(self):
        choices = conf.api.OPTS[
            [opt.name for opt in conf.api.OPTS].index('auth_strategy')
        ].type.choices
        self.assertEqual(set(choices), set(auth.STRATEGIES))
