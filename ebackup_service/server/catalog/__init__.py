# SPDX-License-Identifier: Apache-2.0
"""The catalog: SQL models, queries and migrations, one noun a module."""
