# SPDX-License-Identifier: Apache-2.0
"""The backup server: admits jobs, hands them out, watches over them."""
