# SPDX-License-Identifier: Apache-2.0
"""User names and passwords from a file with bcrypt hashes."""

import collections
import hashlib
import hmac
import logging
import os
import threading
from typing import Any

from oslo_config import cfg
from oslo_middleware import basic_auth
from oslo_middleware import exceptions
import webob
import webob.dec
import webob.exc

from ebackup_service.api import context
from ebackup_service.api import errors

LOG = logging.getLogger(__name__)
MAX_KNOWN = 256
CHALLENGE = {'WWW-Authenticate': 'Basic realm="ebackup"'}


def wrap(app: Any, conf: cfg.ConfigOpts) -> Any:
    """Raise Misconfigured if the file of users cannot be used."""
    path = conf.http_basic.users_file
    try:
        basic_auth.validate_auth_file(path)
    except (exceptions.ConfigInvalid, webob.exc.HTTPException):
        raise errors.Misconfigured(
            f'[http_basic]users_file {path}: has to be readable, each line a '
            f'user name, a colon and a bcrypt hash; "htpasswd -B" writes it'
        ) from None
    return BasicAuth(app, conf)


class BasicAuth:
    """Checks passwords and gives roles by the lists of [http_basic].

    Shared by all request threads. bcrypt is slow by design, while a driver
    asks every second: proofs of passwords that were right are remembered.
    They hold for the very line of the file only, so a changed or removed
    user is out at once.
    """

    def __init__(self, app: Any, conf: cfg.ConfigOpts) -> None:
        self._app = app
        self._conf = conf.http_basic
        self._key = os.urandom(32)
        self._known: collections.OrderedDict[bytes, None]
        self._known = collections.OrderedDict()
        self._known_lock = threading.Lock()

    @webob.dec.wsgify
    def __call__(self, req: webob.Request) -> webob.Response:
        try:
            header = basic_auth.parse_header(req.environ)
            user, password = basic_auth.parse_token(header)
            self._check(user, password)
        except (webob.exc.HTTPException, ValueError):
            # all reasons alike: missing, malformed, unknown, wrong
            raise errors.Unauthorized(CHALLENGE) from None
        context.enter(
            req.environ,
            user_id=user,
            user_name=user,
            project_id=self._conf.project_id,
            roles=self._roles(user),
        )
        return req.get_response(self._app)

    def _check(self, user: str, password: bytes) -> None:
        entry, decoy = self._find(user)
        if entry is None:
            # takes as long as a wrong password: says nothing of who exists
            basic_auth.auth_entry(decoy, password)
            raise ValueError('unknown user')
        proof = hmac.digest(
            self._key, entry.encode() + b'\0' + password, hashlib.sha256
        )
        with self._known_lock:
            if proof in self._known:
                return
        basic_auth.auth_entry(entry, password)
        with self._known_lock:
            self._known[proof] = None
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def _find(self, user: str) -> tuple[str | None, str]:
        """Return the user's line of the file, and any line of it."""
        entry = ''
        try:
            with open(self._conf.users_file, encoding='utf-8') as lines:
                for line in lines:
                    entry = line.strip() or entry
                    if user and entry.startswith(user + ':'):
                        return entry, entry
        except OSError as error:
            LOG.error('Cannot read [http_basic]users_file: %s', error)
        return None, entry

    def _roles(self, user: str) -> list[str]:
        roles = ['reader']
        if user in self._conf.admin_users:
            roles += ['member', 'admin']
        if user in self._conf.service_users:
            roles += ['service']
        return roles
