# SPDX-License-Identifier: Apache-2.0
"""Programs: each puts parts of the service together and runs them."""

import warnings

from oslo_service import backend


def _threading() -> backend.BackendType:
    return backend.BackendType.THREADING


# oslo.messaging loads a backend of oslo.service as it is imported, and that
# would be eventlet's. Whoever has chosen one before keeps it.
backend.register_backend_default_hook(_threading)
# It is imported all the same, as an option of a library, and unused.
warnings.filterwarnings('ignore', r'\s*Eventlet is deprecated')
