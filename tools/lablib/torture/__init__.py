# SPDX-License-Identifier: Apache-2.0
"""tools/lab torture: random operations, while services die beside them."""
