# SPDX-License-Identifier: Apache-2.0

from ebackup_service.repository import account
from ebackup_service.repository import document
from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import pack_counts
from ebackup_service.repository import survey
from tests import base as test_base
from tests.unit.ebackup_service.repository import base

CHAIN = ('project', 'volume', 4096)
PACK = location.PackAddress(b's' * 16, location.PAGE, 7)
ROOT = location.Locator(b'i' * 32, PACK, 128, 100, 3)


def entry(generation, tree=ROOT, **values):
    values = {'image_id': base.new_id(), 'session_id': None, **values}
    return account.Entry(
        summary=survey.Summary(CHAIN, generation, tree, 5, 4096), **values
    )


def made(*entries, number=1):
    counts = pack_counts.PackCounts()
    counts.add([PACK], 2**63 + 1)
    return account.Account(CHAIN, number, entries, counts.packed())


class AccountTestCase(test_base.BaseTestCase):
    def test_round_trip(self):
        whole = made(
            entry(1, None), entry(2, image_id=None, session_id=base.new_id())
        )

        again = account.Account.from_bytes(whole.to_bytes(), 'name')

        self.assertEqual(whole, again)

    def test_damage_is_found(self):
        data = bytearray(made(entry(1)).to_bytes())
        data[-20] ^= 1

        self.assertRaises(
            errors.Corrupt, account.Account.from_bytes, bytes(data), 'name'
        )

    def test_what_contradicts_itself_is_refused(self):
        content = document.unseal(
            account.KIND, 'name', made(entry(1)).to_bytes()
        )
        content['packs'][0]['sums'] = ['0' * 16]

        self.assertRaises(
            errors.Corrupt,
            account.Account.from_bytes,
            document.seal(account.KIND, content),
            'name',
        )

    def test_what_is_missing_is_refused(self):
        content = document.unseal(
            account.KIND, 'name', made(entry(1)).to_bytes()
        )
        for name in content:
            left = {k: v for k, v in content.items() if k != name}
            self.assertRaises(
                errors.Corrupt,
                account.Account.from_bytes,
                document.seal(account.KIND, left),
                'name',
            )

    def test_order_is_by_generation(self):
        entries = [entry(3), entry(1, None), entry(2), entry(2, None)]

        self.assertEqual(
            [1, 2, 2, 3],
            [
                one.summary.generation
                for one in sorted(entries, key=account.order)
            ],
        )
