# SPDX-License-Identifier: Apache-2.0
"""The REST API: a WSGI application.

``deploy`` puts it together, ``routes`` says which handler answers what.
The same noun has the same file name in ``handlers``, ``schemas``,
``policies`` and ``views``.
"""
