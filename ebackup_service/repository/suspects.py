# SPDX-License-Identifier: Apache-2.0
"""Where to look for damage that was found before."""

from collections.abc import Callable, Mapping

from ebackup_service.repository import errors
from ebackup_service.repository import extents
from ebackup_service.repository import images
from ebackup_service.repository import location
from ebackup_service.repository import opened
from ebackup_service.repository import pack_set
from ebackup_service.repository import tree


def packs(
    repo: opened.OpenRepository,
    known: Mapping[str, extents.Extents],
    check: Callable[[], None],
) -> pack_set.PackSet:
    """The data packs that hold certain ranges of images.

    What can't be found out, because a root or a page is damaged, is left out.

    :param known: by the images' ids
    :param check: called often; raises to stop
    :raises RepositoryError: the storage's
    """
    found = pack_set.PackSet()
    for image_id, ranges in known.items():
        try:
            root = images.read_root(repo.storage, image_id)
        except (errors.ImageMissing, errors.Corrupt):
            continue
        source = tree.Tree(repo, root.tree, root.size, root.chunk_size)
        for offset, length in ranges:
            first = offset // source.leaf_span
            stop = -(-min(offset + length, root.size) // source.leaf_span)
            for index in range(first, stop):
                check()
                found.update(_of_leaf(source, index, ranges))
    return found


def _of_leaf(
    source: tree.Tree, index: int, ranges: extents.Extents
) -> list[location.PackAddress]:
    try:
        leaf = source.leaf(index)
    except errors.Corrupt:
        return []
    if leaf is None:
        return []
    wanted = leaf.present & ranges.chunks(
        index * source.leaf_span, source.chunk_size
    )
    numbers = set(leaf.entries['pack'][wanted].tolist())
    return [leaf.packs[number] for number in numbers]
