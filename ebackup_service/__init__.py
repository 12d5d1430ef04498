# SPDX-License-Identifier: Apache-2.0
"""The eBackup service: API, backup server and backup proxies."""

import os

# numpy's BLAS would start a thread a core, each of which spins for a while:
# nobody here multiplies matrices.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
