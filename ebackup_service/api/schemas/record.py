# SPDX-License-Identifier: Apache-2.0
"""Records, by which an image is exported and imported."""

from ebackup_service.api.schemas import types

# The record is what an earlier answer of this service said, perhaps of a
# later version: what is not in it cannot agree, the rest is the server's to
# compare.
IMPORT = types.strict(
    {
        'project_id': types.PROJECT_ID,
        'record': {'type': 'object'},
    },
    ['project_id', 'record'],
)
