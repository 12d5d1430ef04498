# SPDX-License-Identifier: Apache-2.0
"""Where messages go: topics, versions, and how long an answer may take.

A proxy speaks and announces VERSION. A server understands proxies from OLDEST
to its own VERSION, hands jobs to no others, and speaks OLDEST to all of them;
so it is upgraded first. What is added to a message is ignored by who doesn't
know it: VERSION grows by a minor number with each addition, and OLDEST with it
where an older proxy must not ignore it.
"""

SERVER = 'ebackup-server'
PROXY = 'ebackup-proxy'
VERSION = '1.5'
OLDEST = '1.1'
# The first whose proxies are given connections.
CONNECTIONS = '1.3'

# Seconds to wait for an answer. A renewal gets less: it has to be tried
# several times within one lease.
CALL_TIMEOUT = 10.0
RENEW_TIMEOUT = 3.0
# How often a lost connection is tried again before the call fails; whoever
# calls has a better idea of what to do then than to wait for ever.
CONNECT_RETRIES = 1


def understood(version: str) -> bool:
    """Whether a server understands a proxy that announces this version."""
    try:
        return _numbers(OLDEST) <= _numbers(version) <= _numbers(VERSION)
    except ValueError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split('.')))
