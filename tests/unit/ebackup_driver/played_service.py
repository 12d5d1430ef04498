# SPDX-License-Identifier: Apache-2.0
"""Plays the eBackup service by its REST contract, without moving any data.

Tests see what was requested, decide how many beats a job takes, and act at
the very moment of a request through ``hooks``.
"""

import json
import re
import threading
from typing import NamedTuple
import urllib.parse
import uuid


class Request(NamedTuple):
    method: str
    path: str
    query: str
    body: object
    headers: dict


class Refusal(Exception):
    """Makes the application answer with an error."""

    def __init__(self, status, kind, message='refused'):
        super().__init__(message)
        self.status = status
        self.kind = kind


class PlayedService:
    """A WSGI application.

    requests: every Request, in order
    images, jobs: what it has, as it shows them
    attachments: by job id
    beats_needed: beats after which a job succeeds; None: never by itself
    failure: (kind, message) with which jobs fail at their next beat
    warning: what new jobs are to warn of
    remaining: tells for how many seconds jobs go on, as they see it
    looks_to_stop: how often a cancelled job must be asked for before it ended
    hooks: called with each Request before it is carried out; may raise
        Refusal, or change anything
    """

    def __init__(self):
        self.requests = []
        self.images = {}
        self.image_requests = {}
        self.metadata = {}
        self.tombstones = set()
        self.jobs = {}
        self.attachments = {}
        self.beats = {}
        self.beats_needed = 2
        self.remaining = lambda: None
        self.looks_to_stop = 1
        self.failure = None
        self.warning = None
        # whether its proxies need nothing of the driver
        self.reaches_volumes = False
        # the proxy that volumes have to be exported to, if they have to be
        self.exported_to = None
        # what may still be exported for ended jobs
        self.connections = []
        # the same of jobs of other volumes
        self.left_elsewhere = []
        self.hooks = []
        self.repositories = {}
        self.storages = {}
        # snapshots that a storage has when it is deleted by force
        self.snapshots = []
        self.proxies = []
        self._lock = threading.RLock()

    def __call__(self, environ, start_response):
        length = int(environ.get('CONTENT_LENGTH') or 0)
        body = environ['wsgi.input'].read(length) if length else b''
        request = Request(
            environ['REQUEST_METHOD'],
            environ['PATH_INFO'],
            environ['QUERY_STRING'],
            json.loads(body) if body else None,
            {k: v for k, v in environ.items() if k.startswith('HTTP_')},
        )
        try:
            with self._lock:
                self.requests.append(request)
            for hook in list(self.hooks):
                hook(request)
            with self._lock:
                status, answer = self._carry_out(request)
        except Refusal as error:
            status = error.status
            answer = {
                'error': {
                    'code': error.status,
                    'kind': error.kind,
                    'message': str(error),
                }
            }
        payload = b'' if answer is None else json.dumps(answer).encode()
        start_response(
            f'{status} Status',
            [
                ('Content-Type', 'application/json'),
                ('Content-Length', str(len(payload))),
            ],
        )
        return [payload]

    def said(self, method, pattern):
        """Return the requests so far that match."""
        return [
            r
            for r in self.requests
            if r.method == method and re.fullmatch(pattern, r.path)
        ]

    def _carry_out(self, request):
        for method, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                return action(self, request, *match.groups())
        raise Refusal(404, 'no-such-path')

    # Images

    def _put_image(self, request, image_id):
        asked = request.body['image']
        if image_id in self.tombstones:
            raise Refusal(409, 'image-deleted', 'The image was deleted.')
        if image_id in self.images:
            return self._put_image_again(image_id, asked)
        job = self._new_job('backup', image_id, asked['volume']['id'])
        self._wait_for_attachment(job)
        self.image_requests[image_id] = asked
        self.metadata[image_id] = asked['volume_metadata']
        self.images[image_id] = {
            'id': image_id,
            'project_id': asked['project_id'],
            'volume_id': asked['volume']['id'],
            'repository': asked['repository'] or 'default',
            'generation': len(self.images) + 1,
            'state': 'creating',
            'size': asked['volume']['size'],
            'kind': None,
            'snapshot_id': asked['snapshot_id'],
            'job_id': job['id'],
        }
        return 202, {'image': self.images[image_id], 'job': job}

    def _put_image_again(self, image_id, asked):
        image = self.images[image_id]
        fingerprint = (image['project_id'], image['volume_id'], image['size'])
        volume = asked['volume']
        if fingerprint != (asked['project_id'], volume['id'], volume['size']):
            raise Refusal(409, 'fingerprint-mismatch', 'It is another.')
        if image['state'] == 'available':
            return 200, {'image': image}
        if image['state'] == 'error':
            raise Refusal(409, 'image-failed', image['error']['message'])
        return 202, {'image': image, 'job': self.jobs[image['job_id']]}

    def _get_image(self, request, image_id):
        return 200, {'image': self._image(image_id)}

    def _patch_image(self, request, image_id):
        image = self._image(image_id)
        image.update(request.body['image'])
        return 200, {'image': image}

    def _list_images(self, request):
        found = list(self.images.values())
        # Two a page, so that every list of the tests has several.
        return 200, self._page(request, 'images', found)

    def _delete_image(self, request, image_id):
        image = self.images.get(image_id)
        asked = dict(urllib.parse.parse_qsl(request.query)).get('project_id')
        if image and asked not in (None, image['project_id']):
            raise Refusal(404, 'image-unknown', f'No image {image_id}.')
        self.tombstones.add(image_id)
        if image is None:
            return 204, None
        for job in self.jobs.values():
            if job['image_id'] == image_id and job['state'] == 'running':
                self._end(job, 'cancelled', 'cancelled', 'Image deleted.')
        image['state'] = 'deleting'
        return 202, {'job': self._new_job('delete', image_id)}

    def _get_record(self, request, image_id):
        image = self._image(image_id)
        document = self.metadata.get(image_id)
        record = {**self._record(image), 'volume_metadata': document}
        return 200, {'record': record}

    def _put_record(self, request, image_id):
        image = self._image(image_id)
        if (
            image['project_id'] != request.body['project_id']
            or self._record(image) != request.body['record']
        ):
            raise Refusal(404, 'record-unknown', 'The project has no image.')
        return 200, {'image': image}

    def _record(self, image):
        return {
            'service': 'played',
            'image_id': image['id'],
            'generation': image['generation'],
            'size': image['size'],
        }

    def _image(self, image_id):
        if image_id not in self.images:
            raise Refusal(404, 'image-unknown', f'No image {image_id}.')
        return self.images[image_id]

    # Jobs

    def _put_restore(self, request, job_id):
        if job_id not in self.jobs:
            asked = request.body['restore']
            self._image(asked['image_id'])
            job = self._new_job(
                'restore', asked['image_id'], asked['volume']['id'], job_id
            )
            self._wait_for_attachment(job)
        return 202, {'job': self.jobs[job_id]}

    def _forsake(self, request, volume_id):
        return 204, None

    def _new_job(self, kind, image_id=None, volume_id=None, job_id=None):
        job = {
            'id': job_id or str(uuid.uuid4()),
            'kind': kind,
            'state': 'pending',
            'needs': None,
            'image_id': image_id,
            'volume_id': volume_id,
            'progress': {'percent': 0},
            'result': None,
            'error': None,
            'warning': self.warning,
        }
        self.jobs[job['id']] = job
        self.beats[job['id']] = 0
        return job

    def _wait_for_attachment(self, job):
        job['connections'] = list(self.connections)
        if self.exported_to is not None:
            # It comes with the first beat: a proxy has to have the job.
            self.export(job, self.exported_to)
            job['needs'] = None
        elif self.reaches_volumes:
            job['state'] = 'running'
        else:
            job['needs'] = 'attachment'

    @staticmethod
    def export(job, proxy):
        """Let a job be at a proxy, which the volume has to be exported to."""
        job.update(
            state='running',
            needs='connection',
            proxy=proxy,
            connector={'host': proxy},
        )

    def _begin_to_detach(self, request, job_id):
        known = self.connections + self.left_elsewhere
        left = [one for one in known if one['job_id'] == job_id]
        if not left:
            raise Refusal(409, 'export-in-use', 'Another job uses it.')
        return 200, {'connections': left}

    def _detach(self, request, job_id):
        return 204, None

    def _job(self, job_id):
        if job_id not in self.jobs:
            raise Refusal(404, 'job-unknown', f'No job {job_id}.')
        return self.jobs[job_id]

    def _get_job(self, request, job_id):
        job = self._job(job_id)
        if job['state'] == 'stopping':
            job['looks'] -= 1
            if job['looks'] <= 0:
                self._end(job, 'cancelled', 'cancelled', 'On request.')
        elif job['kind'] not in ('backup', 'restore'):
            self._advance(job)
        return 200, {'job': {**job, 'connections': self.connections}}

    def _list_jobs(self, request):
        found = list(self.jobs.values())
        if 'exported=true' in request.query:
            found = [job for job in found if job.get('exported')]
            found += map(self._left_job, self.left_elsewhere)
        return 200, self._page(request, 'jobs', found)

    @staticmethod
    def _left_job(left):
        exported = {**left['exported'], 'proxy': left['connector']['host']}
        return {
            'id': left['job_id'],
            'state': 'failed',
            'exported': [exported],
        }

    def _attach(self, request, job_id):
        job = self._job(job_id)
        if job['needs'] is None and job['state'] != 'running':
            raise Refusal(409, 'job-ended', 'The job has ended.')
        job['needs'] = None
        job['state'] = 'running'
        self.attachments[job_id] = request.body['attachment']
        return 202, {'job': job}

    def _beat(self, request, job_id):
        job = self._job(job_id)
        if job.get('connector') and job_id not in self.attachments:
            job['needs'] = 'connection'
        if job['needs'] != 'connection':
            self._advance(job)
        return 200, {'job': job}

    def _advance(self, job):
        if job['state'] not in ('pending', 'running'):
            return
        job['state'] = 'running'
        self.beats[job['id']] += 1
        done = self.beats[job['id']]
        needed = self.beats_needed
        if needed:
            job['progress'] = {
                'percent': min(100, 100 * done // needed),
                'remaining': self.remaining(),
            }
        if self.failure is not None:
            self._end(job, 'failed', *self.failure)
        elif needed is not None and done >= needed:
            self._succeed(job)

    def _succeed(self, job):
        job['state'] = 'succeeded'
        job['result'] = {}
        image = self.images.get(job['image_id'])
        if job['kind'] == 'backup':
            image.update(
                state='available',
                kind='full',
                bytes_read=image['size'],
                bytes_stored=4096,
            )
        elif job['kind'] == 'delete':
            del self.images[image['id']]

    def _end(self, job, state, kind, message):
        job['state'] = state
        job['error'] = {'kind': kind, 'message': message, 'retryable': False}
        image = self.images.get(job['image_id'])
        if job['kind'] == 'backup' and image['state'] == 'creating':
            image['state'] = 'error'
            image['error'] = job['error']

    def _cancel(self, request, job_id):
        job = self._job(job_id)
        if job['state'] in ('pending', 'running'):
            job['state'] = 'stopping'
            job['looks'] = self.looks_to_stop
        return 202, {'job': job}

    # Repositories and proxies

    def _list_repositories(self, request):
        return 200, {'repositories': list(self.repositories.values())}

    def _create_repository(self, request):
        asked = request.body['repository']
        if asked['name'] in self.repositories:
            raise Refusal(409, 'repository-exists', 'There is one already.')
        repository = {**asked, 'id': str(uuid.uuid4()), 'state': 'creating'}
        self.repositories[asked['name']] = repository
        job = self._new_job('create')
        return 202, {'repository': repository, 'job': job}

    def _get_repository(self, request, name):
        if name not in self.repositories:
            raise Refusal(404, 'repository-unknown', f'No repository {name}.')
        return 200, {'repository': self.repositories[name]}

    def _delete_repository(self, request, name):
        self._get_repository(request, name)
        repository = {**self.repositories.pop(name), 'state': 'deleted'}
        return 200, {'repository': repository}

    def _get_usage(self, request, name):
        self._get_repository(request, name)
        return 200, {'usage': {'total': 1000, 'free': 400, 'used': 600}}

    def _collect(self, request, name):
        self._get_repository(request, name)
        return 202, {'job': self._new_job('gc')}

    def _check(self, request, name):
        self._get_repository(request, name)
        return 202, {'job': self._new_job('check')}

    def _rebuild(self, request, name):
        self._get_repository(request, name)
        return 202, {'job': self._new_job('rebuild')}

    def _list_storages(self, request):
        return 200, {'storages': list(self.storages.values())}

    def _create_storage(self, request):
        asked = dict(request.body['storage'])
        if asked['name'] in self.storages:
            raise Refusal(409, 'storage-exists', 'There is one already.')
        self.storages[asked['name']] = self._registered(asked)
        return 201, {'storage': self.storages[asked['name']]}

    @staticmethod
    def _registered(asked):
        """What is shown of a storage."""
        credentials = asked.pop('credentials', None)
        return {**asked, 'has_credentials': credentials is not None}

    def _get_storage(self, request, name):
        if name not in self.storages:
            raise Refusal(404, 'storage-unknown', f'No storage {name}.')
        return 200, {'storage': self.storages[name]}

    def _patch_storage(self, request, name):
        self._get_storage(request, name)
        self.storages[name].update(
            self._registered(dict(request.body['storage']))
        )
        return 200, {'storage': self.storages[name]}

    def _delete_storage(self, request, name):
        self._get_storage(request, name)
        storage = self.storages.pop(name)
        if 'force=true' not in request.query:
            return 204, None
        left = {'state': 'deleted', 'snapshots': self.snapshots}
        return 200, {'storage': {**storage, **left}}

    def _list_proxies(self, request):
        return 200, {'proxies': self.proxies}

    @staticmethod
    def _page(request, noun, found):
        start = 0
        match = re.search(r'marker=([^&]+)', request.query)
        if match:
            ids = [item['id'] for item in found]
            start = ids.index(match[1]) + 1
        page = found[start : start + 2]
        more = start + 2 < len(found)
        return {noun: page, 'next': page[-1]['id'] if more else None}


_ID = '([^/]+)'
_ROUTES = [
    ('GET', '/v1/images', PlayedService._list_images),
    ('PUT', f'/v1/images/{_ID}', PlayedService._put_image),
    ('GET', f'/v1/images/{_ID}', PlayedService._get_image),
    ('PATCH', f'/v1/images/{_ID}', PlayedService._patch_image),
    ('DELETE', f'/v1/images/{_ID}', PlayedService._delete_image),
    ('GET', f'/v1/images/{_ID}/record', PlayedService._get_record),
    ('PUT', f'/v1/images/{_ID}/record', PlayedService._put_record),
    ('PUT', f'/v1/restores/{_ID}', PlayedService._put_restore),
    ('DELETE', f'/v1/volumes/{_ID}/anchors', PlayedService._forsake),
    ('GET', '/v1/jobs', PlayedService._list_jobs),
    ('GET', f'/v1/jobs/{_ID}', PlayedService._get_job),
    ('PUT', f'/v1/jobs/{_ID}/attachment', PlayedService._attach),
    ('DELETE', f'/v1/jobs/{_ID}/attachment', PlayedService._detach),
    ('POST', f'/v1/jobs/{_ID}/detach', PlayedService._begin_to_detach),
    ('POST', f'/v1/jobs/{_ID}/heartbeat', PlayedService._beat),
    ('POST', f'/v1/jobs/{_ID}/cancel', PlayedService._cancel),
    ('GET', '/v1/repositories', PlayedService._list_repositories),
    ('POST', '/v1/repositories', PlayedService._create_repository),
    ('GET', f'/v1/repositories/{_ID}', PlayedService._get_repository),
    ('DELETE', f'/v1/repositories/{_ID}', PlayedService._delete_repository),
    ('GET', f'/v1/repositories/{_ID}/usage', PlayedService._get_usage),
    ('POST', f'/v1/repositories/{_ID}/collect', PlayedService._collect),
    ('POST', f'/v1/repositories/{_ID}/check', PlayedService._check),
    ('POST', f'/v1/repositories/{_ID}/rebuild', PlayedService._rebuild),
    ('GET', '/v1/storages', PlayedService._list_storages),
    ('POST', '/v1/storages', PlayedService._create_storage),
    ('GET', f'/v1/storages/{_ID}', PlayedService._get_storage),
    ('PATCH', f'/v1/storages/{_ID}', PlayedService._patch_storage),
    ('DELETE', f'/v1/storages/{_ID}', PlayedService._delete_storage),
    ('GET', '/v1/proxies', PlayedService._list_proxies),
]
