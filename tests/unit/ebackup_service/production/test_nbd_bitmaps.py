# SPDX-License-Identifier: Apache-2.0
from ebackup_service.production import base as contract
from ebackup_service.production import nbd_bitmaps
from tests import base

IDENTITY = '0123456789abcdef0123'
ANCHOR = f'ebackup-{IDENTITY}-a'


def bitmap(name=ANCHOR, **changes):
    """As QEMU tells of one that counts."""
    return {'name': name, 'recording': True, 'busy': False, **changes}


class NamesTest(base.BaseTestCase):
    def test_which_bitmaps_are_anchors(self):
        for name, expected in (
            (f'ebackup-{IDENTITY}-a-b.c', (IDENTITY, 'a-b.c')),
            (f'ebackup-{IDENTITY}.0011223344', None),
            (f'ebackup-{IDENTITY}', None),
            ('ebackup-mine-one', None),
            ('checkpoint', None),
            (f'{IDENTITY}-a', None),
            ('', None),
        ):
            self.assertEqual(expected, nbd_bitmaps.snapshot_of(name))

    def test_name_and_snapshot_belong_together(self):
        snapshot = contract.Snapshot(IDENTITY, 'a-b')
        self.assertEqual(
            snapshot, nbd_bitmaps.snapshot_of(nbd_bitmaps.name_of(snapshot))
        )

    def test_snapshot_is_found_by_its_name(self):
        node = {'dirty-bitmaps': [{}, bitmap('other'), bitmap()]}
        self.assertEqual((IDENTITY, 'a'), nbd_bitmaps.named(node, 'a'))
        self.assertIsNone(nbd_bitmaps.named(node, 'other'))


class CountsTest(base.BaseTestCase):
    def test_one_that_counted_all_the_time(self):
        self.assertTrue(nbd_bitmaps.counts(bitmap()))

    def test_one_that_did_not(self):
        for changes in (
            {'recording': False},
            {'busy': True},
            {'inconsistent': True},
        ):
            self.assertFalse(nbd_bitmaps.counts(bitmap(**changes)))


class CopyTest(base.BaseTestCase):
    def test_it_is_made_before_it_is_filled_and_does_not_count(self):
        node = {'node-name': 'volume'}
        add, merge = nbd_bitmaps.copy(node, ANCHOR, 'scratch', 'copy')
        self.assertEqual('block-dirty-bitmap-add', add['type'])
        self.assertEqual(
            ('scratch', 'copy', True),
            (
                add['data']['node'],
                add['data']['name'],
                add['data']['disabled'],
            ),
        )
        self.assertEqual('block-dirty-bitmap-merge', merge['type'])
        self.assertEqual(
            ('scratch', 'copy', [{'node': 'volume', 'name': ANCHOR}]),
            (
                merge['data']['node'],
                merge['data']['target'],
                merge['data']['bitmaps'],
            ),
        )
