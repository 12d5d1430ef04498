# SPDX-License-Identifier: Apache-2.0
"""How rows of the catalog look in JSON, one noun a file.

Sizes are bytes, durations seconds, instants ISO 8601 in UTC.
"""
