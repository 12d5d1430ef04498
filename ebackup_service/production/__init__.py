# SPDX-License-Identifier: Apache-2.0
"""Production storages: what volumes live on, behind one contract."""
