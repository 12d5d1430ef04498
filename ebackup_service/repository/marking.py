# SPDX-License-Identifier: Apache-2.0
"""Which packs some trees reach; section "Accounts" of the format."""

from collections.abc import Callable, Collection, Mapping, Sequence
import collections
import dataclasses
from typing import NamedTuple

from ebackup_service.repository import account
from ebackup_service.repository import accounts
from ebackup_service.repository import errors
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack_counts
from ebackup_service.repository import pack_set
from ebackup_service.repository import page
from ebackup_service.repository import survey
from ebackup_service.repository import tree
from ebackup_service.repository import walk

# A tree: its root page, size of the volume and of its chunks in bytes.
Pin = tuple[location.Locator | None, int, int]


class Owner(NamedTuple):
    """The image whose tree is pinned.

    :ivar gone: whether the repository has no such image, and no job needs it
    """

    image_id: str
    gone: bool


# Called with a page that is needed, and the generation of the tree beside its
# own, -1 if there is none.
Visit = Callable[[page.Page, int], None]
_NO_OWNERS: Mapping[Pin, Owner] = {}
_Chain = tuple[str, str, int]
# A tree of which to count the pages that another one hasn't at their places.
_Pair = tuple[survey.Summary, survey.Summary | None]


def unseen(visited: page.Page, since: int) -> None:
    """Whoever counts pages need not look at them."""


def mark(
    repo: opened.OpenRepository,
    entries: list[account.Entry],
    pins: Sequence[Pin],
    known: accounts.Accounts,
    whole: bool,
    candidates: pack_set.PackSet,
    check: Callable[[], None],
    owners: Mapping[Pin, Owner] = _NO_OWNERS,
    lost: Callable[[str], None] = lambda image_id: None,
    visit: Visit = unseen,
    advance: survey.Advance = survey.unwatched,
) -> list[account.Account]:
    """Take packs that images and pins reach out of the candidates.

    :param entries: the images, in any order
    :param pins: other trees, which may be among those of the images
    :param known: what was counted last time; those of chains that are gone
        are dropped
    :param whole: count everything, whatever is known
    :param candidates: what is left of them nobody needs
    :param check: called for each page; raises to stop
    :param owners: of the pins. Of an image that is gone, what is below a
        missing page is not looked for: nobody can find it
    :param lost: called with the id of each such image
    :param visit: called for each page of a chain that is counted anew
    :param advance: counts chains
    :returns: the accounts that are new
    :raises Corrupt: a page can't be read
    :raises RepositoryError: the storage's
    """
    needed = pack_set.PackSet()
    _pin(repo, entries, pins, known, needed, check, owners, lost)
    chains: dict[_Chain, list[account.Entry]] = {}
    for entry in sorted(entries, key=account.order):
        chains.setdefault(entry.summary.chain, []).append(entry)
    known.drop(known.newest.keys() - chains.keys())
    # The counts of one chain at a time; of the others they are packed.
    found: dict[_Chain, bytes] = {}
    if not whole:
        for chain, before in known.newest.items():
            counts = _recount(repo, chains[chain], before, known, check)
            if counts is not None:
                found[chain] = counts.packed()
                needed.update(counts)
                advance(len(found), len(chains))
        candidates.subtract(needed)
    for chain in _doubtful(candidates, known, found):
        del found[chain]
    for chain in chains.keys() - found.keys():
        counts = count(repo, chains[chain], check, visit)
        found[chain] = counts.packed()
        needed.update(counts)
        advance(len(found), len(chains))
    candidates.subtract(needed)
    return [
        made
        for chain, members in chains.items()
        if (made := _made(known, chain, tuple(members), found[chain]))
    ]


def _doubtful(
    candidates: pack_set.PackSet,
    known: accounts.Accounts,
    found: Collection[_Chain],
) -> list[_Chain]:
    """Chains of which a pack would go that was never counted.

    Although others of its session were. An interrupted collection may have
    left it, or the account may lack it.
    """
    left: dict[bytes, list[location.PackAddress]] = {}
    for address in candidates:
        left.setdefault(address.session, []).append(address)
    doubtful = []
    for chain in found:
        before = known.newest[chain]
        if of_chain := before.sessions() & left.keys():
            counts = before.counts
            if any(a not in counts for one in of_chain for a in left[one]):
                doubtful.append(chain)
    return doubtful


def _made(
    known: accounts.Accounts,
    chain: _Chain,
    members: tuple[account.Entry, ...],
    packed: bytes,
) -> account.Account | None:
    """The account to keep, None if it is there already."""
    before = known.newest.get(chain)
    if before is not None and before.entries == members:
        if before.packed == packed:
            return None
        known.wrong += 1
    number = 1 if before is None else before.number + 1
    return account.Account(chain, number, members, packed)


def count(
    repo: opened.OpenRepository,
    entries: Sequence[account.Entry],
    check: Callable[[], None],
    visit: Visit = unseen,
) -> pack_counts.PackCounts:
    """Count the references of the trees of one chain.

    :param check: called for each page; raises to stop
    :param visit: called for each page
    :raises Corrupt: a page can't be read
    :raises RepositoryError: the storage's
    """
    counts = pack_counts.PackCounts()
    if trees := _trees(entries):
        _apply(repo, counts, [], trees, check, visit)
    return counts


def _recount(
    repo: opened.OpenRepository,
    entries: Sequence[account.Entry],
    before: account.Account,
    known: accounts.Accounts,
    check: Callable[[], None],
) -> pack_counts.PackCounts | None:
    """Count only what differs from an account; None: it is of no use."""
    if before.entries == tuple(entries):
        return before.counts
    trees = _trees(entries)
    if not trees:
        return None
    counts = before.counts
    try:
        _apply(repo, counts, _trees(before.entries), trees, check)
    except errors.Corrupt:
        # Of a tree that nobody needs any more, perhaps.
        return None
    if counts.plausible:
        return counts
    known.wrong += 1
    return None


def _pin(
    repo: opened.OpenRepository,
    entries: list[account.Entry],
    pins: Sequence[Pin],
    known: accounts.Accounts,
    needed: pack_set.PackSet,
    check: Callable[[], None],
    owners: Mapping[Pin, Owner],
    lost: Callable[[str], None],
) -> None:
    """Add pinned trees to the entries of their chains, or walk them."""
    # Few are pinned, and there are many entries.
    wanted = set(pins)
    seen = {pin for entry in entries if (pin := pinned(entry)) in wanted}
    counted = {
        pin: entry
        for before in known.newest.values()
        for entry in before.entries
        if (pin := pinned(entry)) in wanted
    }
    for pin in pins:
        if pin[0] is None or pin in seen:
            continue
        seen.add(pin)
        if pin in counted:
            entries.append(dataclasses.replace(counted[pin], image_id=None))
        else:
            owner = owners.get(pin)
            where, size, chunk_size = pin
            source = tree.Tree(repo, where, size, chunk_size)
            if not _walk(repo, source, needed, check, owner) and owner:
                lost(owner.image_id)


def pinned(entry: account.Entry) -> Pin:
    """The tree of an entry."""
    summary = entry.summary
    return summary.tree, summary.size, summary.chunk_size


def _walk(
    repo: opened.OpenRepository,
    source: tree.Tree,
    needed: pack_set.PackSet,
    check: Callable[[], None],
    owner: Owner | None,
) -> bool:
    """Add all packs that a tree reaches, which is of no known chain.

    :returns: whether it is complete; see mark()
    :raises Corrupt: a page can't be read
    """
    complete = True

    def damaged(error: errors.Corrupt, level: int, index: int) -> None:
        nonlocal complete
        if owner is None:
            raise error
        if not owner.gone or not isinstance(error, errors.PackMissing):
            raise errors.Corrupt(
                error.what,
                error.name,
                f'{error.reason} (image {owner.image_id})',
            ) from error
        complete = False

    if source.root is not None:
        needed.add(source.root.pack)
    for visited in walk.Walker(repo, damaged).pages(source, None):
        check()
        needed.update(visited.packs)
    return complete


def _trees(entries: Sequence[account.Entry]) -> list[survey.Summary]:
    return [e.summary for e in entries if e.summary.tree is not None]


def _apply(
    repo: opened.OpenRepository,
    counts: pack_counts.PackCounts,
    old: Sequence[survey.Summary],
    new: Sequence[survey.Summary],
    check: Callable[[], None],
    visit: Visit = unseen,
) -> None:
    """Let the counts of some trees be those of others, one at least."""
    for trees, times in ((new, 1), (old, -1)):
        for summary in trees:
            assert summary.tree is not None
            counts.add([summary.tree.pack], _weight(summary.tree.id), times)
    walker = walk.Walker(repo, exact=True)
    for (one, other), times in _difference(old, new).items():
        pages = walker.located(
            _opened(repo, one), other and _opened(repo, other)
        )
        for page_id, visited in pages:
            check()
            counts.add(visited.packs, _weight(page_id), times)
            visit(visited, -1 if other is None else other.generation)


def _opened(repo: opened.OpenRepository, summary: survey.Summary) -> tree.Tree:
    return tree.Tree(repo, summary.tree, summary.size, summary.chunk_size)


def _weight(page_id: bytes) -> int:
    return int.from_bytes(page_id[:8], 'little')


def _difference(
    old: Sequence[survey.Summary], new: Sequence[survey.Summary]
) -> dict[_Pair, int]:
    """What to count, and how often, to get from some trees to others."""
    times: collections.Counter[_Pair] = collections.Counter()
    for trees, factor in ((new, 1), (old, -1)):
        for one, previous in zip(trees[1:], trees, strict=False):
            times[one, previous] += factor
    if not old:
        times[new[0], None] += 1
    elif old[0] != new[0]:
        times[new[0], old[0]] += 1
        times[old[0], new[0]] -= 1
    return {pair: factor for pair, factor in times.items() if factor}
