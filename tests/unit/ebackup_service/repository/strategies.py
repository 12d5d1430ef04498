# SPDX-License-Identifier: Apache-2.0
"""What hypothesis draws for the repository's structures."""

import hypothesis
from hypothesis import strategies as st

from ebackup_service.repository import location
from ebackup_service.repository import page
from ebackup_service.repository import record

# Machines that run tests are shared: time says nothing.
_settings = hypothesis.settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)


def given(*drawn, **named):
    """hypothesis.given, without deadlines."""
    return lambda test: _settings(hypothesis.given(*drawn, **named)(test))


U32 = st.integers(0, 2**32 - 1)
IDS = st.binary(min_size=32, max_size=32)


def addresses(kinds=location.KINDS):
    return st.builds(
        location.PackAddress,
        session=st.binary(min_size=16, max_size=16),
        kind=st.sampled_from(kinds),
        ordinal=U32,
    )


@st.composite
def locators(draw, packs=None):
    """Locators that may be in a page; of the given packs, if any."""
    pack = draw(addresses() if packs is None else st.sampled_from(packs))
    length = draw(
        st.integers(record.HEADER_SIZE + 1, record.max_length(pack.kind))
    )
    return location.Locator(
        id=draw(IDS),
        pack=pack,
        offset=draw(st.integers(0, 2**32 - 1 - length)),
        length=length,
        generation=draw(U32),
    )


@st.composite
def pages(draw, min_entries=0):
    """Leaves and inner pages with some slots filled."""
    level = draw(st.integers(0, 4))
    kind = location.DATA if level == 0 else location.PAGE
    packs = draw(
        st.lists(addresses([kind]), min_size=1, max_size=5, unique=True)
    )
    index = draw(st.integers(0, 2**40))
    made = page.Leaf(index) if level == 0 else page.Page(level, index)
    filled = draw(
        st.dictionaries(
            st.integers(0, 255),
            locators(packs),
            min_size=min_entries,
            max_size=12,
        )
    )
    for slot, where in filled.items():
        made.set(slot, where)
    return made, filled
