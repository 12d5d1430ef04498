# SPDX-License-Identifier: Apache-2.0
"""Random histories of a volume and its images, against dictionaries of bytes.

A volume is a real, sparse file; the model is what it must hold, block by
block. Volumes may be large enough for a tree of three levels: what nobody
wrote costs neither the file nor the model anything.
"""

import copy
import os
import shutil
import tempfile
import unittest
import uuid

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from ebackup_service.engine import backup
from ebackup_service.engine import control
from ebackup_service.engine import progress
from ebackup_service.engine import restore
from ebackup_service.production import attached
from ebackup_service.production import base as production
from ebackup_service.production import punch
from ebackup_service.repository import collector
from ebackup_service.repository import discard
from ebackup_service.repository import liveness
from ebackup_service.repository import repository
from ebackup_service.repository import root
from ebackup_service.repository.storage import registry
from ebackup_service.repository import tree
from tests.unit.ebackup_service.engine import volume_model

CHUNK = volume_model.CHUNK
LEAF = 256 * CHUNK
LARGEST = 300 * LEAF  # more leaves than an inner page has entries

SIZES = st.one_of(
    st.sampled_from(
        [0, 1, CHUNK, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF, 257 * LEAF + 5]
    ),
    st.integers(1, 4 * LEAF),
    st.integers(1, LARGEST),
)
# (where it is counted from, by how much): many meet, and many meet edges.
PLACES = st.one_of(
    st.tuples(st.just('start'), st.integers(0, 4 * CHUNK)),
    st.tuples(st.just('start'), st.integers(0, 4 * LEAF)),
    st.tuples(st.just('leaf'), st.integers(0, 300)),
    st.tuples(st.just('end'), st.integers(1, 3 * CHUNK)),
)
IMAGES = st.sampled_from([0, 1, 2, 3])  # by age
LENGTHS = st.one_of(
    st.integers(1, 2 * CHUNK),
    st.sampled_from([CHUNK, LEAF, 3 * LEAF + 17]),
)


class History(stateful.RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        # In memory where possible: most of the time is spent in fsync(). Only
        # devices may be volumes there.
        memory = '/dev/shm' if os.path.isdir('/dev/shm') else None
        self.directory = tempfile.mkdtemp(dir=memory)
        self.volumes = tempfile.mkdtemp()
        self.path = os.path.join(self.volumes, 'volume')
        with open(self.path, 'wb'):
            pass
        self.model = volume_model.Model()
        os.mkdir(os.path.join(self.directory, 'repository'))
        self.repo = repository.Repository.create(
            registry.open_storage(f'file://{self.directory}/repository'),
            pack_size=LEAF,
        )
        self.empty = self.repo.usage().used
        self.storage = attached.AttachedStorage([self.volumes], 'here')
        self.available = {}
        self.generation = 0

    def teardown(self):
        try:
            self.check_what_is_left()
        finally:
            self.repo.close()
            shutil.rmtree(self.directory)
            shutil.rmtree(self.volumes)

    def check_what_is_left(self):
        while self.available:
            self.restore_new(0)
            self.delete(0)
        self.collect()
        tombstones = 1000 * self.generation
        assert self.repo.usage().used <= self.empty + tombstones
        assert self.repo.usage().packs == 0

    @stateful.precondition(lambda self: self.model.size)
    @stateful.rule(
        place=PLACES,
        length=LENGTHS,
        seed=st.integers(0, 7),
        pattern=st.booleans(),
    )
    def write(self, place, length, seed, pattern):
        """Zeros with seed 0; repeated blocks, or all blocks different."""
        place = self.place(*place)
        length = min(length, self.model.size - place)
        if not seed:
            content = bytes(length)
        elif pattern:
            content = bytes([seed]) * length
        else:
            content = b''.join(
                bytes([seed]) + number.to_bytes(15, 'big')
                for number in range(length // 16 + 1)
            )[:length]
        with open(self.path, 'r+b') as file:
            file.seek(place)
            file.write(content)
        self.model.write(place, content)

    @stateful.precondition(lambda self: self.model.size)
    @stateful.rule(place=PLACES, length=LENGTHS)
    def discard(self, place, length):
        place = self.place(*place)
        length = min(length, self.model.size - place)
        with open(self.path, 'r+b') as file:
            punch.hole(file.fileno(), place, length)
        self.model.write(place, bytes(length))

    @stateful.initialize(size=SIZES, length=LENGTHS)
    def create(self, size, length):
        self.resize(size)
        if size:
            self.write(('start', 0), length, 1, False)

    @stateful.rule(size=SIZES)
    def resize(self, size):
        os.truncate(self.path, size)
        self.model.resize(size)

    @stateful.rule(workers=st.integers(1, 3))
    def back_up_all(self, workers):
        self.back_up(None, workers)

    @stateful.precondition(lambda self: self.available)
    @stateful.rule(base=IMAGES, workers=st.integers(1, 3))
    def back_up_compared(self, base, workers):
        self.back_up(self.image(base), workers)

    @stateful.precondition(lambda self: self.available)
    @stateful.rule(
        base=IMAGES,
        workers=st.integers(1, 3),
        superfluous=st.sets(st.integers(0, 600), max_size=3),
    )
    def back_up_changes(self, base, workers, superfluous):
        """Those that the storage names, among them some that are none."""
        base = self.image(base)
        self.back_up(
            base,
            workers,
            sorted({*self.model.changed(base.model), *superfluous}),
        )

    def back_up(self, base, workers, changed=None):
        session = self.session()
        image_id = str(uuid.uuid4())
        with self.source(changed) as source:
            job = progress.Progress(source.size)
            result = backup.run_backup(
                source,
                self.repo,
                session,
                base and base.tree,
                CHUNK,
                workers,
                control.Control(),
                job,
            )
        assert job.snapshot()['bytes_done'] == self.model.size
        self.commit(session, image_id, result)
        self.available[image_id] = volume_model.Image(
            copy.deepcopy(self.model),
            tree.Tree(self.repo, result.tree, self.model.size, CHUNK),
        )

    @stateful.rule(
        base=st.one_of(st.none(), IMAGES),
        checks=st.integers(0, 40),
        abandon=st.booleans(),
    )
    def fail_to_back_up(self, base, checks, abandon):
        """Cancelled, with or without the chance to clean up."""
        base = (
            self.image(base) if base is not None and self.available else None
        )
        session = self.session()
        try:
            with self.source() as source:
                result = backup.run_backup(
                    source,
                    self.repo,
                    session,
                    base and base.tree,
                    CHUNK,
                    2,
                    volume_model.StopsSoon(checks),
                    progress.Progress(source.size),
                )
        except control.JobStopped:
            pass
        else:
            # It was done before; the proxy dies before it commits.
            self.commit(session, str(uuid.uuid4()), result, mark=False)
        session.close()
        if abandon:
            discard.discard(self.repo.storage, session.id, str(uuid.uuid4()))

    @stateful.rule(
        base=st.one_of(st.none(), IMAGES),
        changes=st.booleans(),
        checks=st.lists(st.integers(0, 40), max_size=4),
        stage_size=st.sampled_from([1, LEAF, 3 * LEAF]),
    )
    def back_up_in_several_runs(self, base, changes, checks, stage_size):
        """Each goes on from the last checkpoint; the last is not stopped."""
        base = (
            self.image(base) if base is not None and self.available else None
        )
        changed = self.model.changed(base.model) if base and changes else None
        session_id = str(uuid.uuid4())
        self.generation += 1
        found = [None]
        for limit in [*checks, 1 << 30]:
            session = self.repo.session(session_id, self.generation)
            try:
                with self.source(changed) as source:
                    result = backup.run_backup(
                        source,
                        self.repo,
                        session,
                        base and base.tree,
                        CHUNK,
                        2,
                        volume_model.StopsSoon(limit),
                        progress.Progress(source.size),
                        found[-1],
                        found.append,
                        stage_size,
                    )
                break
            except control.JobStopped:
                session.close()
        image_id = str(uuid.uuid4())
        self.commit(session, image_id, result)
        self.available[image_id] = volume_model.Image(
            copy.deepcopy(self.model),
            tree.Tree(self.repo, result.tree, self.model.size, CHUNK),
        )

    @stateful.precondition(lambda self: len(self.available) > 1)
    @stateful.rule(image=IMAGES)
    def delete(self, image):
        image_id = self.image_id(image)
        self.repo.delete_image(image_id)
        del self.available[image_id]

    @stateful.rule()
    def collect(self):
        collector.collect(
            self.repo,
            lambda image_ids: liveness.Live(set(), [], set()),
            lambda: None,
        )

    @stateful.precondition(lambda self: self.available)
    @stateful.rule(image=IMAGES)
    def restore_new(self, image):
        """As Cinder does it with a file: it is empty."""
        image = self.image(image)
        path = os.path.join(self.volumes, 'restored')
        with open(path, 'wb'):
            pass
        self.restore(image, path, image.model.size)
        self.check(path, image.model)

    @stateful.precondition(lambda self: self.available and self.model.size)
    @stateful.rule(
        image=IMAGES,
        volume_is_new=st.booleans(),
        place=PLACES,
        length=LENGTHS,
    )
    def restore_over_the_volume(self, image, volume_is_new, place, length):
        """What the volume holds is compared, or is nothing of worth."""
        self.write(place, length, 5, True)
        image = self.image(image)
        if image.model.size > self.model.size:
            self.resize(image.model.size)
        self.restore(image, self.path, self.model.size, volume_is_new)
        expected = copy.deepcopy(image.model)
        expected.resize(self.model.size)
        end = image.model.size
        for number, block in self.model.blocks.items():
            inside = max(end - number * CHUNK, 0)
            if inside < CHUNK:
                expected.write(number * CHUNK + inside, block[inside:])
        self.model = expected
        self.check(self.path, self.model)

    def image_id(self, age):
        """Of one of the images that there are, the newest is 0."""
        return list(self.available)[-1 - age % len(self.available)]

    def image(self, age):
        return self.available[self.image_id(age)]

    def place(self, origin, count):
        if origin == 'leaf':
            count *= LEAF
        elif origin == 'end':
            count = self.model.size - count
        return count % self.model.size

    def session(self):
        self.generation += 1
        return self.repo.session(str(uuid.uuid4()), self.generation)

    def commit(self, session, image_id, result, mark=True):
        session.commit_candidate(
            root.Root(
                image_id,
                root.Chain('project', 'volume'),
                self.generation,
                self.model.size,
                CHUNK,
                result.tree,
            )
        )
        if mark:
            session.mark_committed(image_id)

    def lun(self, path):
        attachment = {'kind': 'attached', 'host': 'here', 'path': path}
        return self.storage.find(production.Reference('volume', attachment))

    def source(self, changed=None):
        source = self.lun(self.path).open_source(self.model.size)
        if changed is None:
            return volume_model.Closing(source, source)
        return volume_model.Closing(
            source, volume_model.ChangedSource(source, changed)
        )

    def restore(self, image, path, size, volume_is_new=False):
        target = self.lun(path).open_target(size, volume_is_new)
        with volume_model.Closing(target, target):
            restore.run_restore(
                self.repo,
                image.tree,
                target,
                volume_is_new,
                2,
                control.Control(),
                progress.Progress(image.model.size),
            )

    def check(self, path, model):
        assert os.stat(path).st_size == model.size
        found = volume_model.Model(model.size)
        source = self.lun(path).open_source(model.size)
        with volume_model.Closing(source, source), open(path, 'rb') as file:
            for extent in source.extents():
                file.seek(extent.offset)
                found.write(extent.offset, file.read(extent.length))
        assert found.changed(model) == []


History.TestCase.settings = hypothesis.settings(
    max_examples=50,
    stateful_step_count=50,
    suppress_health_check=list(hypothesis.HealthCheck),
)
HistoryTest: type[unittest.TestCase] = History.TestCase
