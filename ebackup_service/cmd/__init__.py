# SPDX-License-Identifier: Apache-2.0
"""Programs: each puts parts of the service together and runs them."""
