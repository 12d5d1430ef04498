# SPDX-License-Identifier: Apache-2.0
"""The pipelines: extents in, chunks out, and back."""
