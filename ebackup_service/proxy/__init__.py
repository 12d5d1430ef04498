# SPDX-License-Identifier: Apache-2.0
"""The backup proxy: takes a job, moves the data, reports."""
