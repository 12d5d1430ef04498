# SPDX-License-Identifier: Apache-2.0
"""What a process does in a repository on a simulated disk, job by job."""

from typing import Any

from ebackup_service.repository import checker
from ebackup_service.repository import collector
from ebackup_service.repository import compaction
from ebackup_service.repository import damage
from ebackup_service.repository import discard
from ebackup_service.repository import errors
from ebackup_service.repository import extents
from ebackup_service.repository import repair
from ebackup_service.repository import repository
from ebackup_service.repository import root as image_root
from ebackup_service.repository import sample
from ebackup_service.repository.storage import base as storage_base
from ebackup_service.repository.storage import nas
from ebackup_service.repository import suspects
from ebackup_service.repository import verifier
from tests.unit.ebackup_service.repository import base
from tests.unit.ebackup_service.repository import service as services

PATH = '/disk'
# What compaction may do: it takes each pack that gets smaller.
ANY = compaction.Limits(0.95, 2**40, lambda count: None)


class Proxy:
    """A process of its own: it shares nothing but the disk and the service.

    :ivar damaged: what a backup is told of its base
    """

    def __init__(
        self,
        service: services.Service,
        path: str = PATH,
        storage: storage_base.Storage | None = None,
    ) -> None:
        self.service = service
        self.storage = storage or nas.NasStorage(path)
        self.repo = repository.Repository.open(self.storage)
        self.damaged = extents.Extents()
        self._case = base.RepositoryTestCase()

    def backup(self, chain: image_root.Chain) -> services.Record:
        record = self.service.reserve(chain)
        self.run(record)
        return record

    def run(self, record: services.Record, number: int = 0) -> None:
        """The whole job of a backup; a later run has a greater number."""
        session = self.repo.session(
            record.session_id, record.generation, run=number
        )
        root = session.candidate(record.id)
        if root is None:
            image = self.store(record, number)
            root, session = image.root, image.session
        self.service.commit(record.id, root)
        session.mark_committed(record.id)
        self.service.move(record.id, services.State.AVAILABLE)

    def store(self, record: services.Record, number: int = 0) -> base.Image:
        """A backup up to its candidate root."""
        return self._case.store(
            record.data,
            base=self._base(record),
            generation=record.generation,
            chain=record.chain,
            repo=self.repo,
            session_id=record.session_id,
            image_id=record.id,
            run=number,
            damaged=self.damaged,
        )

    def give_up(self, record: services.Record) -> None:
        """End a backup that came to nothing."""
        self.service.move(record.id, services.State.ERROR)
        discard.discard(self.storage, record.session_id, record.id)

    def delete(self, image_id: str) -> None:
        self.service.move(image_id, services.State.DELETING)
        self.repo.delete_image(image_id)
        self.service.move(image_id, services.State.DELETED)

    def collect(self) -> None:
        self._collect(whole=False)

    def compact(self) -> None:
        """A collection that looks at everything."""
        self._collect(whole=True, limits=ANY)

    def _collect(self, **kwargs: Any) -> None:
        collector.collect(
            self.repo, self.service.live, base.nothing_to_check, **kwargs
        )

    def check(
        self, known: checker.Damage | None = None
    ) -> damage.DamagedRecords:
        """A check that reads everything, up to what it repairs.

        :param known: what was found before: packs that are gone, say
        :returns: what is damaged yet
        """
        records = self.verify(known or {})
        self.repair(records)
        return records

    def verify(self, known: checker.Damage) -> damage.DamagedRecords:
        """What a check finds to be damaged. See check()."""
        also = suspects.packs(self.repo, known, base.nothing_to_check)
        records = damage.DamagedRecords()
        reader = verifier.PackVerifier(self.repo, records)
        everything = sample.Sample(also=also)
        for pack, _ in everything.packs(self.storage, base.nothing_to_check):
            reader.verify(pack, lambda length: None)
        return records

    def repair(self, records: damage.DamagedRecords) -> None:
        """What a check does then."""
        repair.repair(
            self.repo,
            records,
            base.nothing_to_check,
            lambda length: None,
            base.nothing_to_check,
            self.service.live,
        )

    def restore(self, image_id: str) -> None:
        """Restore an image, if it is available.

        :raises AssertionError: other bytes than were backed up
        :raises Corrupt: it is damaged
        """
        record = self.service.pin(image_id)
        if record is None:
            return
        assert record.root is not None
        try:
            data = base.restored(self.repo, self.repo.tree(record.root))
        except errors.Corrupt:
            self.service.unpin(image_id)
            raise
        self.service.unpin(image_id)
        assert data == record.data

    def _base(self, record: services.Record) -> base.Image | None:
        if record.base is None:
            return None
        found = self.service.record(record.base)
        assert found.root is not None
        return base.Image(found.id, found.data, found.root, None)
