# SPDX-License-Identifier: Apache-2.0
"""Backup storages behind one narrow contract, see base."""
