# SPDX-License-Identifier: Apache-2.0
"""Tells the server what a repository holds, so that it knows it again.

Nothing is written to the repository. Interrupted, it begins anew: what the
catalog knows by then is only compared.
"""

from collections.abc import Callable
import json
import time
from typing import Any, TypeVar

from oslo_log import log

from ebackup_service.proxy import errors
from ebackup_service.proxy import patience
from ebackup_service.proxy import repositories
from ebackup_service.proxy import task as proxy_task
from ebackup_service.repository import errors as repository_errors
from ebackup_service.repository import inventory
from ebackup_service.repository import repository
from ebackup_service.repository import root as image_root
from ebackup_service.rpc import errors as rpc_errors
from ebackup_service.rpc import findings

LOG = log.getLogger(__name__)

_Answer = TypeVar('_Answer')

# A message has no more findings, and no more bytes of images, than this; a
# single image may be larger.
_BATCH = 200
_BATCH_BYTES = 1024 * 1024
# More sentences than that would be more than a result should carry.
_MOST_SENTENCES = 100


def run(task: proxy_task.Task) -> dict[str, Any]:
    """Returns the job's result.

    :raises RepositoryError: the repository is not ours, or away; a damaged
        image is told in the result
    """
    spec = task.spec.repository
    with repositories.opened(spec) as repo:
        survey = _Survey(task, repo)
        result = survey.run()
        # Of what was taken from us meanwhile we know less than we think.
        repositories.check_owner(repo, spec)
        return {**result, 'usage': repositories.room(repo)}


class _Share:
    """How far a job is that counts images."""

    def __init__(
        self, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._started = clock()

    def snapshot(self) -> dict[str, Any]:
        done = self.done
        spent = self._clock() - self._started
        return {
            'percent': 100 * done // max(self.total, 1),
            'remaining': (
                int(spent * (self.total - done) / done) if done else None
            ),
        }


class _Survey:
    """One pass over the repository, and then over what the catalog knows.

    Memory: the ids of all images, and one message.
    """

    def __init__(
        self, task: proxy_task.Task, repo: repository.Repository
    ) -> None:
        self._task = task
        self._repo = repo
        self._report = _Report(task)
        self._counted: set[str] = set()
        self._damaged: set[str] = set()
        self._problems: list[str] = []
        self._floor: int | None = None

    def run(self) -> dict[str, Any]:
        image_ids = [*self._repo.images()]
        progress = _Share(len(image_ids))
        self._task.progress = progress
        for image_id in image_ids:
            self._task.control.check()
            self._take(image_id, self._look(image_id))
            progress.done += 1
        tombstones = 0
        for deleted in inventory.deleted(self._repo.storage):
            self._task.control.check()
            self._report.deleted(deleted)
            tombstones += 1
        self._report.send(self._floor)
        self._compare()
        differences = self._report.differences
        return {
            'images': len(self._counted),
            'added': self._report.added,
            'tombstones': tombstones,
            'damaged': len(self._damaged),
            'problems': self._problems[:_MOST_SENTENCES],
            'differing': len(differences),
            'differences': differences[:_MOST_SENTENCES],
        }

    def _look(
        self, image_id: str
    ) -> image_root.Root | inventory.Spent | inventory.Damaged | None:
        """One unreadable file is damage; a storage that is away is not.

        :raises RepositoryError: nothing can be read
        """
        try:
            return inventory.look(self._repo.storage, image_id)
        except repository_errors.RepositoryError as error:
            repositories.check_owner(self._repo, self._task.spec.repository)
            return inventory.Damaged(image_id, str(error))

    def _take(
        self,
        image_id: str,
        found: image_root.Root | inventory.Spent | inventory.Damaged | None,
    ) -> None:
        if isinstance(found, image_root.Root):
            try:
                self._report.image(found)
            except rpc_errors.MessageInvalid as error:
                found = inventory.Damaged(image_id, str(error))
            else:
                self._counted.add(image_id)
        if isinstance(found, inventory.Spent):
            self._report.spent(found)
        elif isinstance(found, inventory.Damaged):
            self._note_damage(found)

    def _note_damage(self, found: inventory.Damaged) -> None:
        self._damaged.add(found.image_id)
        sentence = f'Image {found.image_id} is left out: {found.reason}'
        LOG.warning('%s', sentence)
        self._problems.append(sentence)
        if found.spent is not None:
            self._report.spent(found.spent)
        elif found.generation is not None:
            self._floor = max(self._floor or 0, found.generation)

    def _compare(self) -> None:
        """Look for what the catalog has and the repository has not."""
        for image_id in self._report.known():
            self._task.control.check()
            if image_id in self._counted or image_id in self._damaged:
                continue
            found = self._look(image_id)
            if isinstance(found, inventory.Damaged):
                self._note_damage(found)
            elif not isinstance(found, image_root.Root):
                self._report.differences.append(
                    f'Image {image_id} is available by the catalog, but '
                    'deleted, or gone, in the repository.'
                )


class _Report:
    """Sends findings in messages of bounded size, and adds the answers up.

    :ivar added: images that the catalog did not know; of a message that was
        taken although its answer was lost, none
    :ivar differences: sentences about those that it knew otherwise
    """

    def __init__(self, task: proxy_task.Task) -> None:
        self._task = task
        self._clear()
        self.added = 0
        self.differences: list[str] = []

    def image(self, root: image_root.Root) -> None:
        """:raises MessageInvalid: no catalog could store it"""
        found = findings.Image(
            id=root.image_id,
            project_id=root.chain.project_id,
            volume_id=root.chain.volume_id,
            generation=root.generation,
            size=root.size,
            chunk_size=root.chunk_size,
            tree=None if root.tree is None else root.tree.to_json(),
            created_at=root.created_at,
            incremental=root.base_image is not None,
            record=root.record,
            volume_metadata=root.volume_metadata,
            statistics=root.statistics,
        )
        if found.is_too_deep:
            raise rpc_errors.MessageInvalid('its root is nested too deeply.')
        document = found.to_dict()
        findings.Image.from_dict(document)
        size = len(json.dumps(document))
        if self._images and self._bytes + size > _BATCH_BYTES:
            self.send()
        self._images.append(found)
        self._bytes += size
        self._send_if_full()

    def spent(self, spent: inventory.Spent) -> None:
        found = findings.Spent(
            spent.chain.project_id,
            spent.chain.volume_id,
            spent.generation,
            spent.chunk_size,
        )
        try:
            findings.Spent.from_dict(found.to_dict())
        except rpc_errors.MessageInvalid as error:
            # Such a chain no catalog can have.
            LOG.warning('A generation is not passed on: %s', error)
            return
        self._spent.append(found)
        self._send_if_full()

    def deleted(self, deleted: inventory.Deleted) -> None:
        self._deleted.append(deleted.image_id)
        if deleted.spent is not None:
            self.spent(deleted.spent)
        self._send_if_full()

    def send(self, floor: int | None = None) -> None:
        """Send what has come together.

        :param floor: a generation that some chain has used; with the last
            message, when all chains are known
        """
        message = findings.Findings(
            self._images, self._spent, self._deleted, floor
        )
        spec = self._task.spec
        verdict = self._ask(
            lambda: self._task.server.take_findings(
                spec.id, spec.token, message
            )
        )
        self._check(verdict.accepted)
        self.added += verdict.added
        self.differences += verdict.differences
        self._clear()

    def known(self) -> list[str]:
        """Ids of all images that the catalog takes for available."""
        spec = self._task.spec
        known: list[str] = []

        def ask() -> findings.Known:
            return self._task.server.known_images(
                spec.id, spec.token, known[-1] if known else ''
            )

        while True:
            answer = self._ask(ask)
            self._check(answer.accepted)
            if not answer.image_ids:
                return known
            known += answer.image_ids

    def _clear(self) -> None:
        self._images: list[findings.Image] = []
        self._spent: list[findings.Spent] = []
        self._deleted: list[str] = []
        self._bytes = 0

    def _send_if_full(self) -> None:
        count = len(self._images) + len(self._spent) + len(self._deleted)
        if count >= _BATCH or self._bytes >= _BATCH_BYTES:
            self.send()

    def _ask(self, ask: Callable[[], _Answer]) -> _Answer:
        return patience.until_answered(self._task, ask)

    def _check(self, accepted: bool) -> None:
        if not accepted:
            raise errors.Fenced(
                f'The server gave rebuild {self._task.spec.id} up.'
            )
