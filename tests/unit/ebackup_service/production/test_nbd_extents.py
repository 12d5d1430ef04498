# SPDX-License-Identifier: Apache-2.0
from ebackup_service.production import base as contract
from ebackup_service.production import errors
from ebackup_service.production import nbd_extents
from tests import base

DATA = contract.ExtentKind.DATA
HOLE = contract.ExtentKind.HOLE
DIRTY = 'qemu:dirty-bitmap:x'
ALLOCATION = nbd_extents.ALLOCATION
SIZE = 100


class ExtentsTestCase(base.BaseTestCase):
    def extents(self, answers, dirty=None, allocation=True, size=SIZE):
        """What a server is taken to say that gives these answers in turn."""
        answers = list(answers)
        self.asked = []

        def ask(offset, length):
            self.asked.append((offset, length))
            return answers.pop(0)

        contexts = nbd_extents.Contexts(dirty, allocation)
        found = list(nbd_extents.extents(ask, contexts, size))
        self.assertEqual([], answers)
        return [tuple(extent) for extent in found]


class AllocatedTest(ExtentsTestCase):
    def test_what_reads_as_zeros_is_a_gap(self):
        # 0: data; 1: a hole that may read as anything; 2, 3: zeros
        answer = [10, 0, 10, 3, 10, 1, 10, 2, 60, 0]
        self.assertEqual(
            [(0, 10, DATA), (20, 10, DATA), (40, 60, DATA)],
            self.extents([[(ALLOCATION, 0, answer)]]),
        )

    def test_unknown_flags_are_in_doubt_data(self):
        answer = [10, 1 << 31, 10, 4, 80, 3]
        self.assertEqual(
            [(0, 20, DATA)], self.extents([[(ALLOCATION, 0, answer)]])
        )

    def test_answers_in_parts(self):
        self.assertEqual(
            [(0, 40, DATA)],
            self.extents(
                [
                    [(ALLOCATION, 0, [30, 0])],
                    [(ALLOCATION, 30, [10, 0, 10, 3])],
                    [(ALLOCATION, 50, [50, 3])],
                ]
            ),
        )
        self.assertEqual([(0, 100), (30, 70), (50, 50)], self.asked)

    def test_large_volumes_are_asked_about_in_parts(self):
        size = 5 << 30
        answers = [
            [(ALLOCATION, 0, [2 << 30, 0])],
            [(ALLOCATION, 2 << 30, [2 << 30, 0])],
            [(ALLOCATION, 4 << 30, [1 << 30, 0])],
        ]
        self.assertEqual([(0, size, DATA)], self.extents(answers, size=size))

    def test_last_descriptor_leads_past_what_was_asked(self):
        size = 3 << 30
        self.assertEqual(
            [(0, size, DATA)],
            self.extents([[(ALLOCATION, 0, [size, 0])]], size=size),
        )

    def test_nothing_is_told(self):
        self.assertEqual([(0, SIZE, DATA)], self.extents([], allocation=False))
        self.assertEqual([], self.extents([], size=0))
        self.assertEqual([], self.extents([], allocation=False, size=0))


class ChangedTest(ExtentsTestCase):
    def test_dirty_blocks_are_data_or_holes(self):
        self.assertEqual(
            [(10, 20, DATA), (30, 5, HOLE), (60, 40, HOLE)],
            self.extents(
                [
                    [
                        (ALLOCATION, 0, [30, 0, 70, 3]),
                        (DIRTY, 0, [10, 0, 25, 1, 25, 0, 40, 1]),
                    ]
                ],
                DIRTY,
            ),
        )

    def test_contexts_are_told_up_to_different_places(self):
        self.assertEqual(
            [(0, 30, DATA), (30, 70, HOLE)],
            self.extents(
                [
                    [(DIRTY, 0, [100, 1]), (ALLOCATION, 0, [30, 0])],
                    [(DIRTY, 30, [20, 1]), (ALLOCATION, 30, [70, 3])],
                    [(ALLOCATION, 50, [50, 3]), (DIRTY, 50, [50, 1])],
                ],
                DIRTY,
            ),
        )

    def test_without_allocation(self):
        self.assertEqual(
            [(40, 60, DATA)],
            self.extents([[(DIRTY, 0, [40, 0, 60, 1])]], DIRTY, False),
        )

    def test_any_flag_is_in_doubt_a_change(self):
        self.assertEqual(
            [(0, SIZE, DATA)],
            self.extents([[(DIRTY, 0, [SIZE, 6])]], DIRTY, False),
        )


class MalformedTest(ExtentsTestCase):
    BAD = (
        ('no answer', []),
        ('nothing in it', [('%', 0, [])]),
        ('half of a descriptor', [('%', 0, [SIZE])]),
        ('no length', [('%', 0, [0, 0])]),
        ('no length later', [('%', 0, [10, 0, 0, 0, 90, 0])]),
        ('less than no length', [('%', 0, [-1, 0])]),
        ('past the end', [('%', 0, [SIZE + 1, 0])]),
        ('past the end later', [('%', 0, [SIZE, 0, 1, 0])]),
        ('another offset', [('%', 1, [SIZE - 1, 0])]),
        ('twice', [('%', 0, [SIZE, 0]), ('%', 0, [SIZE, 0])]),
        ('another context', [('x', 0, [SIZE, 0])]),
        ('one more context', [('%', 0, [SIZE, 0]), ('x', 0, [SIZE, 0])]),
    )

    def test_allocation(self):
        for name, answer in self.BAD:
            told = [
                (context.replace('%', ALLOCATION), offset, entries)
                for context, offset, entries in answer
            ]
            error = self.assertRaises(
                errors.ExtentsInvalid, self.extents, [told]
            )
            self.assertIn('at byte 0', str(error), name)

    def test_bitmap(self):
        for name, answer in self.BAD:
            told = [
                (context.replace('%', DIRTY), offset, entries)
                for context, offset, entries in answer
            ]
            with self.subTest(name):
                self.assertRaises(
                    errors.DifferenceUnavailable,
                    self.extents,
                    [told],
                    DIRTY,
                    False,
                )

    def test_one_of_two_contexts_is_missing(self):
        for told in ([(DIRTY, 0, [SIZE, 1])], [(ALLOCATION, 0, [SIZE, 1])]):
            self.assertRaises(
                errors.DifferenceUnavailable, self.extents, [told], DIRTY
            )

    def test_later_answer(self):
        error = self.assertRaises(
            errors.ExtentsInvalid,
            self.extents,
            [[(ALLOCATION, 0, [10, 0])], [(ALLOCATION, 10, [91, 0])]],
        )
        self.assertIn('at byte 10', str(error))
