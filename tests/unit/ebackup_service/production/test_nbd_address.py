# SPDX-License-Identifier: Apache-2.0
import os
import re

import fixtures

from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import nbd_address
from tests import base

WORDS = {'name': 'volume-1', 'volume_id': 'an-id'}


class AddressTest(base.BaseTestCase):
    def test_what_a_uri_says(self):
        for template, address, text in (
            (
                'nbd://[::1]/{name}',
                ('volume-1', '', '::1', 10809, False),
                'nbd://[::1]:10809/volume-1',
            ),
            (
                'nbds://storage.example:99/pool/{volume_id}.img',
                ('pool/an-id.img', '', 'storage.example', 99, True),
                'nbds://storage.example:99/pool/an-id.img',
            ),
            (
                'nbd+unix:///{name}?socket=/run/nbd.sock',
                ('volume-1', '/run/nbd.sock', '', 10809, False),
                'nbd+unix:///volume-1?socket=/run/nbd.sock',
            ),
            (
                'nbds+unix:///?socket=/run/{name}/nbd.sock',
                ('', '/run/volume-1/nbd.sock', '', 10809, True),
                'nbds+unix:///?socket=/run/volume-1/nbd.sock',
            ),
        ):
            self.assertTrue(re.search(nbd_address.URI, template), template)
            found = nbd_address.address(template, WORDS)
            self.assertEqual(address, found)
            self.assertEqual(text, str(found))

    def test_what_is_no_uri(self):
        for template in (
            '',
            'nbd://host/volume',  # one export can't be every volume
            'http://host/{name}',
            'nbd+vsock://1/{name}',
            'nbd://host/{other}',
            'nbd://host/{name',
            'nbd://user@host/{name}',
            'nbd://host/{name}?tls-psk-file=/etc/shadow',
            'nbd://{name}/export',
            'nbd://host:port/{name}',
            'nbd+unix:///{name}',
            'nbd+unix:///{name}?socket=relative',
            'nbd+unix:///{name}?socket=/run/../etc/x',
            'nbd+unix:///{name}?socket=/run/..',
            'nbd+unix:///{name}?socket=/run/.',
            'nbd+unix:///{name}?socket=/run/x&tls-psk-file=/etc/shadow',
            'nbd://host/{name}\nnbd://other/{name}',
            'nbd://host/{name}\n',
        ):
            self.assertFalse(re.search(nbd_address.URI, template), template)

    def test_file(self):
        for template in ('/v/{name}', '/v/{volume_id}/disk.qcow2'):
            self.assertTrue(re.search(nbd_address.FILE, template))
        for template in ('/v/disk', 'v/{name}', '/v/../{name}', '{name}'):
            self.assertFalse(re.search(nbd_address.FILE, template))

    def test_words_that_lead_elsewhere_are_refused(self):
        for name in (
            '../x',
            'a/b',
            '..',
            '.',
            'a?socket=/x',
            'a b',
            'ä',
            '-x',
        ):
            reference = contract.Reference('an-id', name=name)
            self.assertRaises(
                errors.VolumeUnknown, nbd_address.places, reference
            )

    def test_word_that_is_not_known(self):
        words = nbd_address.places(contract.Reference('an-id'))
        self.assertEqual('/an-id', nbd_address.fill('/{volume_id}', words))
        self.assertRaises(
            errors.VolumeUnknown, nbd_address.fill, '/{name}', words
        )

    def test_word_is_no_template(self):
        words = {'name': '{volume_id}', 'volume_id': 'an-id'}
        self.assertNotIn('{', nbd_address.fill('{volume_id}', words))
        self.assertRaises(
            errors.VolumeUnknown,
            nbd_address.places,
            contract.Reference('an-id', name='{volume_id}'),
        )


class SocketTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.top = os.path.realpath(self.useFixture(fixtures.TempDir()).path)
        self.root = os.path.join(self.top, 'sockets')
        os.mkdir(self.root)

    def test_below_a_root(self):
        path = os.path.join(self.root, 'a', 'b')
        self.assertEqual(
            path, nbd_address.allowed_socket(path, ['/nowhere', self.root])
        )

    def test_elsewhere(self):
        os.symlink('/var', os.path.join(self.root, 'link'))
        for path in (
            os.path.join(self.top, 'x'),
            os.path.join(self.top, 'sockets-too', 'x'),
            os.path.join(self.root, 'link', 'run', 'docker.sock'),
        ):
            error = self.assertRaises(
                errors.PathForbidden,
                nbd_address.allowed_socket,
                path,
                [self.root],
            )
            self.assertIn('socket_roots', str(error))
