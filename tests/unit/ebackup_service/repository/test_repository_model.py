# SPDX-License-Identifier: Apache-2.0
"""Random histories of a repository against a dictionary of bytes."""

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from ebackup_service.repository import discard
from ebackup_service.repository import layout
from ebackup_service.repository import location
from ebackup_service.repository import root as image_root
from tests.unit.ebackup_service.repository import base

CHAINS = [image_root.Chain('p', volume) for volume in 'vw']
NUMBERS = st.integers(0, 2**20)


class RepositoryMachine(stateful.RuleBasedStateMachine):
    """Images come and go; those that are there restore."""

    def __init__(self):
        super().__init__()
        self.case = base.RepositoryTestCase()
        self.case.setUp()
        self.images = {}
        self.running = {}
        self.generation = 0

    def teardown(self):
        self.case.doCleanups()

    def pick(self, images, number):
        return list(images.values())[number % len(images)]

    @stateful.rule(
        number=NUMBERS,
        size=st.sampled_from([0, 1, 4096, 5000, 1_048_576, 1_500_000]),
        changes=st.lists(NUMBERS, max_size=5),
        commit=st.sampled_from([True, True, False]),
    )
    def backup(self, number, size, changes, commit):
        self.generation += 1
        older = self.pick(self.images, number) if self.images else None
        data = bytearray(older.data if older else b'')[:size]
        data += bytes(size - len(data))
        for change in changes:
            if data:
                offset = change % len(data)
                data[offset : offset + 3] = b'%03d' % (change % 1000)
        del data[size:]
        image = self.case.store(
            bytes(data),
            base=older,
            generation=self.generation,
            chain=older.root.chain if older else CHAINS[number % 2],
        )
        if commit:
            image.session.mark_committed(image.id)
            self.images[image.id] = image
        else:
            self.running[image.id] = (image, older)

    @stateful.precondition(lambda self: self.running)
    @stateful.rule(number=NUMBERS, commit=st.booleans())
    def end(self, number, commit):
        image, _ = self.pick(self.running, number)
        del self.running[image.id]
        if commit:
            image.session.mark_committed(image.id)
            self.images[image.id] = image
        else:
            discard.discard(self.case.storage, image.session.id, image.id)

    @stateful.precondition(lambda self: self.images)
    @stateful.rule(number=NUMBERS)
    def delete(self, number):
        image = self.pick(self.images, number)
        self.case.repo.delete_image(image.id)
        del self.images[image.id]

    @stateful.rule(collect=st.sampled_from(['collect', 'compact']))
    def collect(self, collect):
        pins = [
            (older.root.tree, older.root.size, base.CHUNK)
            for _, older in self.running.values()
            if older is not None
        ]
        getattr(self.case, collect)(
            pins=pins,
            sessions={i.session.id for i, _ in self.running.values()},
        )
        if not self.running:
            # Nothing is left but what is reached.
            reached = {
                where.pack
                for image in self.images.values()
                for where in every_record(self.case.repo, image)
            }
            packs = [
                *map(layout.parse_pack, self.case.keys(layout.PACKS)),
                *map(layout.parse_compacted, self.case.keys(layout.COMPACTED)),
            ]
            assert len(packs) == len(reached)
            assert set(packs) == reached

    @stateful.invariant()
    def everything_restores(self):
        for image in self.images.values():
            assert self.case.restore(image.id) == image.data

    @stateful.rule(read_data=st.booleans())
    def check(self, read_data):
        report = self.case.check(read_data)
        assert report.problems == []
        assert report.images == len(self.images)


def every_record(repo, image):
    """Locators of all pages and chunks of an image."""
    tree = repo.tree(image.root)
    for index in tree.leaves():
        for level in range(tree.height + 1):
            where = tree.where(level, index >> 8 * level)
            assert isinstance(where, location.Locator)
            yield where
        leaf = tree.leaf(index)
        for slot in leaf.present.nonzero()[0].tolist():
            yield leaf.locator(slot)


RepositoryMachine.TestCase.settings = hypothesis.settings(
    deadline=None,
    max_examples=15,
    stateful_step_count=15,
    suppress_health_check=list(hypothesis.HealthCheck),
)
RepositoryModelTestCase = RepositoryMachine.TestCase
