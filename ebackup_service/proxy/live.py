# SPDX-License-Identifier: Apache-2.0
"""What a repository has to keep: the catalog's answer, as of one instant."""

from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import liveness
from ebackup_service.repository import location


def ask(task: proxy_task.Task, image_ids: list[str]) -> liveness.Live:
    """Ask for a collection, or a check.

    :param image_ids: of all images that were found
    :raises Fenced: the job was given up
    """
    answer = patience.until_answered(
        task,
        lambda: task.server.live(task.spec.id, task.spec.token, image_ids),
    )
    if not answer.accepted:
        raise errors.Fenced(
            f'The server gave {task.spec.kind} {task.spec.id} up.'
        )
    pinned = {
        pin.image_id: (
            None if pin.tree is None else location.Locator.from_json(pin.tree),
            pin.size,
            pin.chunk_size,
        )
        for pin in answer.pins
    }
    return liveness.Live(
        dead=set(answer.dead),
        pins=[*pinned.values()],
        sessions=set(answer.sessions),
        pinned=pinned,
        missed=set(answer.missed),
        uncommitted=set(answer.uncommitted),
    )
