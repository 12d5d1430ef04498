# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between server and proxy."""

import oslo_messaging


class MessageInvalid(ValueError):
    """A message is not what its version says; the sender is at fault."""


class PeerUnreachable(Exception):
    """No answer, or the other side failed to answer; may be tried again."""


class PeerErred(PeerUnreachable):
    """The other side answered that it failed; it may do so each time."""


# untyped base
class PeerFailed(oslo_messaging.MessagingException):  # type: ignore[misc]
    """The other side failed in a way it did not expect; see its log."""
