# SPDX-License-Identifier: Apache-2.0
"""Plays as much of Keystone as a client of the service needs."""

import json


class PlayedIdentity:
    """A WSGI application; its address goes into url once it is served.

    tokens: how many were issued
    catalog: endpoints as (interface, region, url) of block-backup
    status: of the answer to a request for a token
    """

    PASSWORD = 'open sesame'

    def __init__(self):
        self.url = ''
        self.tokens = 0
        self.catalog = []
        self.status = '201 Created'

    def __call__(self, environ, start_response):
        if environ['REQUEST_METHOD'] == 'GET':
            version = {
                'id': 'v3.14',
                'status': 'stable',
                'links': [{'rel': 'self', 'href': f'{self.url}/v3'}],
            }
            return self._answer(start_response, '200 OK', {'version': version})
        length = int(environ['CONTENT_LENGTH'])
        asked = json.loads(environ['wsgi.input'].read(length))
        user = asked['auth']['identity']['password']['user']
        status = self.status
        if user['password'] != self.PASSWORD:
            status = '401 Unauthorized'
        self.tokens += 1
        return self._answer(start_response, status, {'token': self._token()})

    def _token(self):
        endpoints = [
            {'id': str(n), 'interface': i, 'region_id': r, 'url': url}
            for n, (i, r, url) in enumerate(self.catalog)
        ]
        return {
            'methods': ['password'],
            'expires_at': '2999-01-01T00:00:00.000000Z',
            'issued_at': '2026-01-01T00:00:00.000000Z',
            'user': {'id': 'u', 'name': 'cinder', 'domain': {'id': 'd'}},
            'catalog': [
                {
                    'id': 's',
                    'type': 'block-backup',
                    'name': 'ebackup',
                    'endpoints': endpoints,
                }
            ]
            if endpoints
            else [{'id': 'x', 'type': 'image', 'name': 'g', 'endpoints': []}],
        }

    def _answer(self, start_response, status, body):
        payload = json.dumps(body).encode()
        start_response(
            status,
            [
                ('Content-Type', 'application/json'),
                ('Content-Length', str(len(payload))),
                ('X-Subject-Token', f'token-{self.tokens}'),
            ],
        )
        return [payload]
