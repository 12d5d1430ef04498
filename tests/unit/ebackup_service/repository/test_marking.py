# SPDX-License-Identifier: Apache-2.0
import random
from unittest import mock

from ebackup_service.repository import account
from ebackup_service.repository import accounts
from ebackup_service.repository import errors
from ebackup_service.repository import layout
from ebackup_service.repository import left_out
from ebackup_service.repository import marking
from ebackup_service.repository import pack_counts
from ebackup_service.repository import pack_set
from ebackup_service.repository import survey
from ebackup_service.repository import walk
from tests.unit.ebackup_service.repository import aftermath
from tests.unit.ebackup_service.repository import base

LEAVES = 5


def volume(generator, older):
    """Some chunks of a volume that may grow, shrink, and have holes."""
    data = bytearray(older)
    if not data or generator.random() < 0.3:
        size = generator.randint(1, LEAVES * 256) * base.CHUNK
        data = (data + bytes(size))[:size]
    for _ in range(generator.randrange(4)):
        begin = generator.randrange(len(data) // base.CHUNK) * base.CHUNK
        byte = generator.choice([0, 1, 2])
        data[begin : begin + base.CHUNK] = bytes([byte]) * base.CHUNK
    return bytes(data)


class MarkingTestCase(base.RepositoryTestCase):
    def chain(self, generator, length):
        """Images of one chain; not each has the one before it as base."""
        images = []
        for generation in range(length):
            older = None
            if images and generator.random() < 0.9:
                older = images[-1]
                if generator.random() < 0.3:
                    older = generator.choice(images)
            images.append(
                self.backup(
                    volume(generator, older.data if older else b''),
                    base=older,
                    generation=generation,
                )
            )
        return images

    def entry(self, image):
        root = image.root
        return account.Entry(
            image.id,
            root.session_id,
            survey.Summary(
                (root.chain.project_id, root.chain.volume_id, base.CHUNK),
                root.generation,
                root.tree,
                root.size,
                root.chunk_size,
            ),
        )

    def mark(self, images, known=None, pins=(), whole=False):
        """(packs that are not needed, accounts as they are now)."""
        known = known or accounts.Accounts(left_out.LeftOut(self.storage))
        left = pack_set.PackSet()
        left.update(map(layout.parse_pack, self.keys(layout.PACKS)))
        made = marking.mark(
            self.repo,
            [self.entry(image) for image in images],
            pins,
            known,
            whole,
            left,
            base.nothing_to_check,
        )
        for one in made:
            known.newest[one.chain] = one
            known._keys[one.chain] = ''
        return left, known

    def assert_reached(self, images, left):
        """All packs are left but those that some images reach."""
        wanted = pack_set.PackSet()
        for image in images:
            wanted.update(
                aftermath.packs(self.repo, self.repo.tree(image.root))
            )
        for key in self.keys(layout.PACKS):
            address = layout.parse_pack(key)
            self.assertEqual(address not in wanted, address in left, key)

    def test_difference_is_what_counting_everything_gives(self):
        for seed in range(12):
            self.assert_difference_is_right(seed)

    def assert_difference_is_right(self, seed):
        generator = random.Random(seed)
        images = self.chain(generator, 6)
        known = None
        for _ in range(4):
            chosen = [i for i in images if generator.random() < 0.6]
            left, known = self.mark(chosen, known)

            self.assert_reached(chosen, left)
            _, again = self.mark(chosen)
            self.assertEqual(
                {c: one.counts for c, one in again.newest.items()},
                {c: one.counts for c, one in known.newest.items()},
            )
            self.assertEqual(0, known.wrong)

    def three(self):
        images = []
        for number in range(3):
            data = bytearray(images[-1].data if images else bytes(base.LEAF))
            data += bytes([1]) * base.LEAF
            data[number * base.CHUNK] = number + 2
            images.append(
                self.backup(
                    bytes(data),
                    base=images[-1] if images else None,
                    generation=number,
                )
            )
        return images

    def read(self, images, known=None, **kwargs):
        """How many pages are walked over to mark some images."""
        count = 0
        real = walk.Walker.located

        def located(walker, new, old):
            nonlocal count
            for found in real(walker, new, old):
                count += 1
                yield found

        with mock.patch.object(walk.Walker, 'located', located):
            self.mark(images, known, **kwargs)
        return count

    def test_nothing_is_read_if_nothing_has_changed(self):
        images = self.three()
        _, known = self.mark(images)

        self.assertEqual(0, self.read(images, known))

    def test_what_differs_is_read(self):
        images = [
            self.backup(bytes([1]) * base.LEAF * 20 + bytes([2]) * base.CHUNK)
        ]
        for number in range(3):
            data = bytearray(images[-1].data)
            data[number] = 9
            images.append(
                self.backup(
                    bytes(data), base=images[-1], generation=number + 2
                )
            )
        _, known = self.mark(images)

        # In each of three comparisons, a leaf and the page above.
        self.assertEqual(3 * 2, self.read([*images[:1], *images[2:]], known))

    def test_chain_that_is_gone_is_dropped_and_not_read(self):
        _, known = self.mark(self.three())

        self.assertEqual(0, self.read([], known))
        self.assertEqual({}, known.newest)

    def test_image_of_zeros(self):
        images = [*self.three(), self.backup(bytes(base.LEAF), generation=3)]
        _, known = self.mark(images)

        left, known = self.mark(images[3:], known)
        self.assert_reached([], left)
        left, _ = self.mark(images, known)
        self.assert_reached(images[:3], left)

    def test_pins_are_needed(self):
        images = self.three()
        _, known = self.mark(images)
        pin = (images[0].root.tree, images[0].root.size, base.CHUNK)
        for pins in ([pin], [pin, pin], [(None, 5, base.CHUNK), pin]):
            left, _ = self.mark(images[2:], known, pins)
            self.assert_reached([images[0], images[2]], left)

    def test_pin_of_no_known_chain(self):
        image = self.three()[0]
        pin = (image.root.tree, image.root.size, base.CHUNK)

        left, known = self.mark([], pins=[pin])

        self.assert_reached([image], left)
        self.assertEqual({}, known.newest)

    def spoiled(self, known, change):
        """Accounts with a count that is not what it should be."""
        ((chain, one),) = known.newest.items()
        counts = one.counts
        change(counts)
        known.newest[chain] = account.Account(
            chain, one.number, one.entries, counts.packed()
        )
        return known

    def test_wrong_account_is_noticed_when_a_pack_would_go(self):
        images = self.three()
        address = self.repo.tree(images[2].root).leaf(3).locator(255).pack
        _, known = self.mark(images)
        (one,) = known.newest.values()
        ((times,),) = [
            entry['counts']
            for entry in one.counts.to_json()
            if entry['kind'] == address.kind
            and entry['session'] == images[2].session.id
        ]
        for missing in (times, times + 1):
            before = self.spoiled(
                known, lambda c, n=missing: c.add([address], 12345, -n)
            )
            left, after = self.mark(images[1:], before)

            self.assertEqual(1, after.wrong)
            self.assert_reached(images[1:], left)
            _, known = self.mark(images)

    def test_account_that_lacks_a_pack_is_noticed(self):
        """It would go, and was never counted, though others of its kind."""
        images = self.three()
        address = self.repo.tree(images[2].root).leaf(3).locator(255).pack
        for chosen in (images, images[1:]):
            _, known = self.mark(images)
            (one,) = known.newest.values()
            packs = one.counts.to_json()
            packs = [
                entry
                for entry in packs
                if entry['kind'] != address.kind
                or entry['session'] != images[2].session.id
            ]
            lacking = pack_counts.PackCounts.from_json(packs)
            known.newest[one.chain] = account.Account(
                one.chain, one.number, one.entries, lacking.packed()
            )

            left, after = self.mark(chosen, known)

            self.assert_reached(chosen, left)
            (one,) = after.newest.values()
            self.assertIn(address, one.counts)

    def test_wrong_account_is_noticed_when_everything_is_counted(self):
        images = self.three()
        _, known = self.mark(images)
        address = self.repo.tree(images[0].root).root.pack
        before = self.spoiled(known, lambda c: c.add([address], 1, 1))

        left, after = self.mark(images, before, whole=True)

        self.assertEqual(1, after.wrong)
        self.assert_reached(images, left)
        ((_, one),) = after.newest.items()
        self.assertEqual(
            marking.count(self.repo, one.entries, base.nothing_to_check),
            one.counts,
        )

    def test_account_of_trees_that_are_gone_is_of_no_use(self):
        images = self.three()
        _, known = self.mark(images)
        for key in self.keys(layout.session_prefix(images[1].session.id)):
            if layout.parse_pack(key).kind == 2:
                self.storage.delete(key)

        left, after = self.mark(images[:1], known)

        self.assert_reached(images[:1], left)
        self.assertEqual(0, after.wrong)

    def test_damage_of_what_is_needed_is_raised(self):
        images = self.three()
        where = self.repo.tree(images[1].root).root
        self.flip(layout.pack_key(where.pack), where.offset + 70)

        self.assertRaises(errors.Corrupt, self.mark, images)

    def test_counts_of_nothing(self):
        self.assertEqual(
            pack_counts.PackCounts(),
            marking.count(self.repo, [], base.nothing_to_check),
        )

    def test_pages_are_shown_with_the_generation_beside_them(self):
        images = self.three()
        entries = [self.entry(image) for image in images]
        seen = []

        marking.count(
            self.repo,
            entries,
            base.nothing_to_check,
            lambda visited, since: seen.append(since),
        )

        walker = walk.Walker(self.repo)
        trees = [self.repo.tree(image.root) for image in images]
        expected = [-1 for _ in walker.pages(trees[0], None)]
        for number in (1, 2):
            expected += [
                images[number - 1].root.generation
                for _ in walker.pages(trees[number], trees[number - 1])
            ]
        self.assertEqual(expected, sorted(seen))
