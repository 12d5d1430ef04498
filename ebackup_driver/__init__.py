# SPDX-License-Identifier: Apache-2.0
"""What runs inside cinder-backup, and the client of the eBackup service."""
