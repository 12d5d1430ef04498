# SPDX-License-Identifier: Apache-2.0
"""Where messages go: topics, version, and how long an answer may take."""

SERVER = 'ebackup-server'
PROXY = 'ebackup-proxy'
VERSION = '1.0'

# Seconds to wait for an answer. A renewal gets less: it has to be tried
# several times within one lease.
CALL_TIMEOUT = 10.0
RENEW_TIMEOUT = 3.0
# How often a lost connection is tried again before the call fails; whoever
# calls has a better idea of what to do then than to wait for ever.
CONNECT_RETRIES = 1
