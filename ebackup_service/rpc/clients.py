# SPDX-License-Identifier: Apache-2.0
"""The two sides' clients. Calls raise ``errors.PeerUnreachable`` only."""

from collections.abc import Sequence
from typing import Any

import oslo_messaging

from ebackup_service.rpc import bus
from ebackup_service.rpc import damage
from ebackup_service.rpc import errors
from ebackup_service.rpc import findings as found
from ebackup_service.rpc import messages
from ebackup_service.rpc import topics


def _client(
    transport: oslo_messaging.Transport, topic: str, version: str
) -> oslo_messaging.RPCClient:
    return oslo_messaging.get_rpc_client(
        bus.prepare(transport),
        oslo_messaging.Target(topic=topic, version=version),
        timeout=topics.CALL_TIMEOUT,
        retry=topics.CONNECT_RETRIES,
    )


class ServerClient:
    """What a proxy, and the API, say to a server; any server answers."""

    def __init__(self, transport: oslo_messaging.Transport) -> None:
        self._client = _client(transport, topics.SERVER, topics.VERSION)

    def announce(
        self, host: str, version: str, capabilities: dict[str, Any]
    ) -> None:
        self._call(
            topics.RENEW_TIMEOUT,
            'announce',
            host=host,
            version=version,
            capabilities=capabilities,
        )

    def renew(
        self, job_id: str, token: int, progress: dict[str, Any]
    ) -> messages.Grant:
        return messages.Grant.from_dict(
            self._call(
                topics.RENEW_TIMEOUT,
                'renew',
                job_id=job_id,
                token=token,
                progress=progress,
            )
        )

    def commit_image(
        self, job_id: str, token: int, root: messages.Commit
    ) -> messages.Decision:
        return messages.Decision.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'commit_image',
                job_id=job_id,
                token=token,
                root=root.to_dict(),
            )
        )

    def checkpoint(
        self, job_id: str, token: int, checkpoint: messages.Checkpoint
    ) -> messages.Decision:
        return messages.Decision.from_dict(
            self._call(
                topics.RENEW_TIMEOUT,
                'checkpoint',
                job_id=job_id,
                token=token,
                checkpoint=checkpoint.to_dict(),
            )
        )

    def plan_snapshot(
        self, job_id: str, token: int, lun: str
    ) -> messages.Plan:
        return messages.Plan.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'plan_snapshot',
                job_id=job_id,
                token=token,
                lun=lun,
            )
        )

    def snapshot_taken(
        self, job_id: str, token: int, name: str, snapshot_id: str
    ) -> messages.Decision:
        return messages.Decision.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'snapshot_taken',
                job_id=job_id,
                token=token,
                name=name,
                snapshot_id=snapshot_id,
            )
        )

    def finish(
        self, job_id: str, token: int, outcome: messages.Outcome
    ) -> messages.Decision:
        return messages.Decision.from_dict(
            self._call(
                topics.RENEW_TIMEOUT,
                'finish',
                job_id=job_id,
                token=token,
                outcome=outcome.to_dict(),
            )
        )

    def live(
        self, job_id: str, token: int, image_ids: Sequence[str]
    ) -> messages.Live:
        return messages.Live.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'live',
                job_id=job_id,
                token=token,
                image_ids=[*image_ids],
            )
        )

    def take_findings(
        self, job_id: str, token: int, findings: found.Findings
    ) -> found.Verdict:
        return found.Verdict.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'take_findings',
                job_id=job_id,
                token=token,
                findings=findings.to_dict(),
            )
        )

    def known_images(self, job_id: str, token: int, after: str) -> found.Known:
        return found.Known.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'known_images',
                job_id=job_id,
                token=token,
                after=after,
            )
        )

    def take_damage(
        self, job_id: str, token: int, report: damage.Report
    ) -> messages.Decision:
        return messages.Decision.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'take_damage',
                job_id=job_id,
                token=token,
                report=report.to_dict(),
            )
        )

    def known_damage(
        self, job_id: str, token: int, after: str
    ) -> damage.Known:
        return damage.Known.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'known_damage',
                job_id=job_id,
                token=token,
                after=after,
            )
        )

    def pinned_bases(self, job_id: str, token: int) -> damage.Trees:
        return damage.Trees.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'pinned_bases',
                job_id=job_id,
                token=token,
            )
        )

    def missed_images(
        self, job_id: str, token: int, image_ids: Sequence[str]
    ) -> damage.Trees:
        return damage.Trees.from_dict(
            self._call(
                topics.CALL_TIMEOUT,
                'missed_images',
                job_id=job_id,
                token=token,
                image_ids=[*image_ids],
            )
        )

    def wake(self) -> None:
        """Tell a server that there is work; lost is not lost for long."""
        _cast(self._client, 'wake')

    def _call(self, timeout: float, method: str, **arguments: Any) -> Any:
        try:
            return self._client.prepare(timeout=timeout).call(
                {}, method, **arguments
            )
        except Exception as error:
            if _is(error, oslo_messaging.UnsupportedVersion):
                raise errors.PeerUnreachable(
                    f'The server does not understand {method!r}: it is older '
                    'than this proxy, whose messages are of version '
                    f'{topics.VERSION}; upgrade the servers first'
                ) from error
            if _is(error, errors.PeerFailed):
                raise errors.PeerErred(
                    f'The server has an error: {_brief(error)}'
                ) from error
            # not only MessagingException: what the driver below raises when
            # its broker goes away in the middle comes through as it is
            raise errors.PeerUnreachable(
                f'The server did not answer {method!r}: {_brief(error)}'
            ) from error


class ProxyClient:
    """What a server, or the API, says to the proxy of a host.

    Only ``connect`` is answered.
    """

    def __init__(self, transport: oslo_messaging.Transport) -> None:
        self._client = _client(transport, topics.PROXY, topics.OLDEST)

    def run_job(self, host: str, job: messages.JobSpec) -> None:
        _cast(self._client.prepare(server=host), 'run_job', job=job.to_dict())

    def cancel_job(
        self, host: str, job_id: str, token: int, reason: str
    ) -> None:
        _cast(
            self._client.prepare(server=host),
            'cancel_job',
            job_id=job_id,
            token=token,
            reason=reason,
        )

    def connect(
        self, host: str, job_id: str, token: int, connection: dict[str, Any]
    ) -> messages.Decision:
        """Give a job the connection that it waits for."""
        client = self._client.prepare(
            server=host,
            version=topics.CONNECTIONS,
            timeout=topics.CALL_TIMEOUT,
        )
        try:
            answer = client.call(
                {},
                'connect',
                job_id=job_id,
                token=token,
                connection=connection,
            )
        except Exception as error:
            # Nothing of what it says: it may quote what was sent.
            raise errors.PeerUnreachable(
                f'Proxy {host} did not answer: {type(error).__name__}'
            ) from None
        return messages.Decision.from_dict(answer)


def _cast(client: Any, method: str, **arguments: Any) -> None:
    try:
        client.cast({}, method, **arguments)
    except Exception as error:
        raise errors.PeerUnreachable(
            f'{method!r} could not be sent: {_brief(error)}'
        ) from error


def _is(error: Exception, kind: type[Exception]) -> bool:
    """Whether the other side has raised that; a bus may only tell its name."""
    names = (type(error).__name__, getattr(error, 'exc_type', ''))
    return kind.__name__ in names


def _brief(error: Exception) -> str:
    """Without the traceback that comes with an error of the other side."""
    return str(error).partition('\n')[0]
