# SPDX-License-Identifier: Apache-2.0
"""From packs in the repository to what is damaged in them.

Each worker thread takes a pack, reads it from its beginning to its end, and
verifies every chunk against its id.
"""

from collections.abc import Iterable

from ebackup_service.engine import control as job_control
from ebackup_service.engine import crew as engine_crew
from ebackup_service.engine import places
from ebackup_service.engine import progress as job_progress
from ebackup_service.repository import damage
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import verifier


def run_verify(
    repo: opened.OpenRepository,
    packs: Iterable[tuple[location.PackAddress, int]],
    workers: int,
    control: job_control.Control,
    progress: job_progress.Progress,
    share: places.Share | None = None,
) -> damage.DamagedRecords:
    """Verify packs.

    :param packs: address and size in bytes
    :param workers: number of threads
    :param share: bounds how many of them work at a time
    :param progress: counts the bytes of packs as done, those of records as
        read
    :raises: RepositoryError, JobStopped
    """
    found = damage.DamagedRecords()
    crew = engine_crew.Crew(control)
    shared = engine_crew.Shared(packs)

    share = share or places.Places(workers).share()

    def work() -> None:
        counters = progress.worker()
        worker = verifier.PackVerifier(repo, found)
        place = share.place()
        try:
            for address, size in place.work(
                shared, crew.check, worker.give_back
            ):
                crew.check()
                counters.bytes_read += worker.verify(address, crew.pace)
                counters.done += size
        finally:
            place.close()

    crew.run([work for _ in range(workers)])
    control.check()
    return found
