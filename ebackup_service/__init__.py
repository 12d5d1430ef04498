# SPDX-License-Identifier: Apache-2.0
"""The eBackup service: API, backup server and backup proxies."""
