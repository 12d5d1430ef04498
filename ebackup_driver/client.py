# SPDX-License-Identifier: Apache-2.0
"""REST client of the eBackup service; the driver and the commands use it."""

from collections.abc import Iterator, Mapping
from typing import Any

from keystoneauth1 import adapter

from ebackup_driver import errors
from ebackup_driver import resources
from ebackup_driver import transport

_PAGE = 500
# Seconds. A beat that gets lost leaves time for another one before the
# service misses it; so no answer may be long in coming.
_BEAT_TIMEOUT = 4.0
LONGEST_WAIT = 2.0


class Client:
    """One method for each thing that the service can be asked.

    Each asks once, and raises what Transport.send raises.
    """

    def __init__(self, http: adapter.Adapter):
        self._transport = transport.Transport(http)

    # Images

    def images(
        self,
        *,
        project_id: str | None = None,
        volume_id: str | None = None,
        state: str | None = None,
        all_projects: bool = False,
    ) -> Iterator[resources.Image]:
        """Yield images, fetched page by page."""
        query = {
            'project_id': project_id,
            'volume_id': volume_id,
            'state': state,
            'all_projects': 'true' if all_projects else None,
        }
        return map(resources.Image.from_dict, self._pages('images', query))

    def image(self, image_id: str) -> resources.Image:
        answer = self._get('images', image_id)
        return resources.Image.from_dict(_part(answer, 'image'))

    def reserve_image(
        self, image_id: str, request: Mapping[str, Any]
    ) -> resources.Reservation:
        """Ask for an image to be made; the same request again is no harm.

        :raises Conflict: another image has this id, it was deleted, or it
            failed
        """
        answer = self._put({'image': request}, 'images', image_id)
        return resources.Reservation.from_dict(answer)

    def update_image(
        self, image_id: str, changes: Mapping[str, Any]
    ) -> resources.Image:
        """Change what an operator may change of an image."""
        answer = self._patch({'image': changes}, 'images', image_id)
        return resources.Image.from_dict(_part(answer, 'image'))

    def delete_image(
        self, image_id: str, project_id: str | None = None
    ) -> resources.Job | None:
        """Delete an image, known or not; None if that is done already.

        :raises NotFound: it is not that project's
        """
        answer = self._transport.send(
            'DELETE',
            _path('images', image_id),
            query={'project_id': project_id},
        )
        if answer is None:
            return None
        return resources.Job.from_dict(_part(answer, 'job'))

    def image_record(self, image_id: str) -> resources.ImageRecord:
        """Return what Cinder needs: to import the image, to restore it."""
        answer = self._get('images', image_id, 'record')
        return resources.ImageRecord.from_dict(answer)

    def import_image_record(
        self, image_id: str, project_id: str, record: Mapping[str, Any]
    ) -> None:
        """Ask the service whether the image is that project's.

        :raises NotFound: it is not
        """
        body = {'project_id': project_id, 'record': record}
        self._put(body, 'images', image_id, 'record')

    # Volumes

    def forsake_anchors(self, volume_id: str) -> None:
        """Have no storage believed in what changed of a volume until now."""
        self._transport.send('DELETE', _path('volumes', volume_id, 'anchors'))

    # Jobs

    def reserve_restore(
        self, job_id: str, request: Mapping[str, Any]
    ) -> resources.Job:
        answer = self._put({'restore': request}, 'restores', job_id)
        return resources.Job.from_dict(_part(answer, 'job'))

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        image_id: str | None = None,
        exported: bool = False,
    ) -> Iterator[resources.Job]:
        """Yield jobs, newest first, fetched page by page.

        exported: only those that ended a while ago, and for which Cinder may
            still export something
        """
        query = {
            'state': state,
            'kind': kind,
            'image_id': image_id,
            'exported': 'true' if exported else None,
        }
        return map(resources.Job.from_dict, self._pages('jobs', query))

    def job(self, job_id: str) -> resources.Job:
        answer = self._get('jobs', job_id)
        return resources.Job.from_dict(_part(answer, 'job'))

    def attach(
        self, job_id: str, attachment: Mapping[str, Any]
    ) -> resources.Job:
        """Tell a job where its volume is attached."""
        answer = self._put(
            {'attachment': attachment}, 'jobs', job_id, 'attachment'
        )
        return resources.Job.from_dict(_part(answer, 'job'))

    def begin_to_detach(self, job_id: str) -> list[dict[str, Any]]:
        """Return what may be exported still for a job that has ended.

        No other job has it exported while it is being ended; after that,
        detach.

        :raises Conflict: another job uses it, or another driver is about it
        """
        answer = self._post(None, 'jobs', job_id, 'detach')
        return _objects(_part(answer, 'connections'))

    def detach(self, job_id: str) -> None:
        """Say that nothing is exported any more for a job that has ended."""
        self._transport.send('DELETE', _path('jobs', job_id, 'attachment'))

    def beat(self, job_id: str, wait: float = 0.0) -> resources.Job:
        """Say that the job is still wanted.

        wait: seconds, LONGEST_WAIT at most, for which the service may take
            its time if the job neither ends nor needs anything. It may also
            answer at once.
        """
        answer = self._transport.send(
            'POST',
            _path('jobs', job_id, 'heartbeat'),
            query={'wait': f'{wait:.3f}'} if wait else None,
            timeout=_BEAT_TIMEOUT,
        )
        return resources.Job.from_dict(_part(answer, 'job'))

    def cancel(self, job_id: str) -> resources.Job:
        answer = self._transport.send('POST', _path('jobs', job_id, 'cancel'))
        return resources.Job.from_dict(_part(answer, 'job'))

    # Repositories, storages and proxies: the service's own words, for display

    def repositories(self) -> list[dict[str, Any]]:
        return _objects(_part(self._get('repositories'), 'repositories'))

    def repository(self, name: str) -> dict[str, Any]:
        return dict(_part(self._get('repositories', name), 'repository'))

    def create_repository(
        self, request: Mapping[str, Any]
    ) -> tuple[dict[str, Any], resources.Job | None]:
        answer = self._post({'repository': request}, 'repositories')
        job = answer.get('job') if isinstance(answer, Mapping) else None
        return (
            dict(_part(answer, 'repository')),
            resources.Job.from_dict(job) if job else None,
        )

    def delete_repository(self, name: str) -> dict[str, Any]:
        """Let the service forget one; return what it was, and what stays."""
        answer = self._transport.send('DELETE', _path('repositories', name))
        return dict(_part(answer, 'repository'))

    def repository_usage(self, name: str) -> dict[str, Any]:
        return dict(_part(self._get('repositories', name, 'usage'), 'usage'))

    def collect(self, name: str) -> resources.Job:
        """Start a garbage collection."""
        answer = self._post(None, 'repositories', name, 'collect')
        return resources.Job.from_dict(_part(answer, 'job'))

    def check(
        self,
        name: str,
        read_data: bool = False,
        fraction: float | None = None,
    ) -> resources.Job:
        """Start a check.

        :param read_data: read every chunk, too
        :param fraction: read that part of them, from 0 to 1
        """
        body: dict[str, Any] = {'read_data': read_data}
        if fraction is not None:
            body['fraction'] = fraction
        answer = self._post(body, 'repositories', name, 'check')
        return resources.Job.from_dict(_part(answer, 'job'))

    def rebuild_catalog(self, name: str) -> resources.Job:
        """Let the service know again what a repository holds."""
        answer = self._post(None, 'repositories', name, 'rebuild')
        return resources.Job.from_dict(_part(answer, 'job'))

    def storages(self) -> list[dict[str, Any]]:
        return _objects(_part(self._get('storages'), 'storages'))

    def storage(self, name: str) -> dict[str, Any]:
        return dict(_part(self._get('storages', name), 'storage'))

    def create_storage(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Register a production storage; credentials don't come back."""
        answer = self._post({'storage': request}, 'storages')
        return dict(_part(answer, 'storage'))

    def update_storage(
        self, name: str, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change some of a storage; each replaces what was there."""
        answer = self._patch({'storage': changes}, 'storages', name)
        return dict(_part(answer, 'storage'))

    def delete_storage(
        self, name: str, force: bool = False
    ) -> dict[str, Any] | None:
        """Let the service forget a storage.

        :param force: with the snapshots on it that the service has made;
            return what it was, and which these are
        """
        answer = self._transport.send(
            'DELETE',
            _path('storages', name),
            query={'force': 'true' if force else None},
        )
        return dict(_part(answer, 'storage')) if force else None

    def proxies(self) -> list[dict[str, Any]]:
        return _objects(_part(self._get('proxies'), 'proxies'))

    # Requests

    def _get(self, *segments: str) -> Any:
        return self._transport.send('GET', _path(*segments))

    def _put(self, body: Mapping[str, Any], *segments: str) -> Any:
        return self._transport.send('PUT', _path(*segments), body=body)

    def _patch(self, body: Mapping[str, Any], *segments: str) -> Any:
        return self._transport.send('PATCH', _path(*segments), body=body)

    def _post(self, body: Mapping[str, Any] | None, *segments: str) -> Any:
        return self._transport.send('POST', _path(*segments), body=body)

    def _pages(self, noun: str, query: Mapping[str, Any]) -> Iterator[Any]:
        marker: str | None = None
        while True:
            answer = self._transport.send(
                'GET',
                _path(noun),
                query={**query, 'limit': _PAGE, 'marker': marker},
            )
            yield from _objects(_part(answer, noun))
            marker = answer.get('next')
            if not marker:
                return


def _path(*segments: str) -> str:
    return '/v1/' + '/'.join(transport.quote(s) for s in segments)


def _part(answer: Any, name: str) -> Any:
    if not isinstance(answer, Mapping) or answer.get(name) is None:
        raise errors.ServiceFailed(
            f'Unexpected answer of the eBackup service: no {name} in it'
        )
    return answer[name]


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise errors.ServiceFailed(
            'Unexpected answer of the eBackup service: no list in it'
        )
    return value
