# SPDX-License-Identifier: Apache-2.0
"""What several commands are given on the command line."""

import argparse
import re

_UUID = re.compile('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def uuid(text: str) -> str:
    """Return an ID as the service writes it; a type for argparse.

    :raises ArgumentTypeError: it is none
    """
    found = text.lower()
    if _UUID.fullmatch(found) is None:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no ID: an ID is a UUID, such as '
            '0b5c9a1e-6a2f-4c3d-9e8f-7a6b5c4d3e2f'
        )
    return found
