# SPDX-License-Identifier: Apache-2.0
"""What bodies and queries have to look like, one noun a file."""
